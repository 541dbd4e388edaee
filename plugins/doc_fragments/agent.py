# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options and notes of modules that ask the agent of the node on which they run."""

from __future__ import annotations


class ModuleDocFragment:
    """The options are read by ``door/agent_call.py``."""

    DOCUMENTATION = r"""
options:
  state_dir:
    description: Where the agent of the node keeps what it knows, as the host variable C(muster_state_dir) says.
    type: path
    default: /var/lib/muster
  agent:
    description: The agent's file. The default is C(bin/muster-agent.pyz) below O(state_dir).
    type: path
notes:
  - Runs on the node itself, and needs nothing there but the agent, which the playbook C(muster.training.provision)
    installs. The agent is run by the Python that Ansible uses on the node, which must be 3.9 or newer.
  - What must happen on many nodes at once is done faster by M(muster.training.agent) and
    M(muster.training.gang).
"""
