# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another machine, as far as Ansible can tell: everything is copied there and run there. It is this one."""

from __future__ import annotations

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: elsewhere
short_description: A host that is not the control node
description: For tests.
author: The Muster authors (@muster-training)
options:
  become_success_timeout: {type: int, default: 10, description: As for local.}
  become_strip_preamble: {type: bool, default: true, description: As for local.}
extends_documentation_fragment: connection_pipelining
"""


class Connection(Local):
    transport = "elsewhere"
