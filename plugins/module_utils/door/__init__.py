# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's door: from the parameters of a task to a call of the library, and from its answer to the task's result.

Empty on purpose: ``agent_call`` runs on nodes, where the libraries that the other files need are not installed.
"""

from __future__ import annotations
