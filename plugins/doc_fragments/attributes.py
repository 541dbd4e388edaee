# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module says about itself, written once (pattern: community.docker)."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes; a module adds its own ``support`` where none is given here."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what it would change without changing it.
  diff_mode:
    description: In diff mode, returns the state before and after.
  idempotent:
    description: Run again with the same options, it changes nothing and says so.
"""

    CLUSTER = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/muster.training.cluster) in C(module_defaults) to set the store of all of them once.
    support: full
    membership:
      - muster.training.cluster
  action:
    description: Has an action plugin of the same name, so that it runs in the control process.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
notes:
  - Runs on the control node, as the user who runs Ansible, whatever host the task is for and whatever C(become) says.
  - "Only with C(delegate_to) a host whose connection is not C(local) does it run there, with the store of that host;
    then the requirements must be met on that host."
  - In a play of many hosts the task is done for each of them, like any other. Set C(run_once).
requirements:
  - pydantic >= 2.7
  - tinydb >= 4.8
"""

    FLEET = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/muster.training.cluster) in C(module_defaults) to set the store of all of them once.
    support: full
    membership:
      - muster.training.cluster
  action:
    description: Has an action plugin of the same name, so that it runs in the control process.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
notes:
  - Runs on the control node and speaks to all hosts at once, in one task. Set C(run_once).
  - Hosts are reached with Fabric where their connection is plain ssh, and with Ansible's own connection plugins where
    it is anything else (become, local, containers). The host variable C(muster_transport) (V(auto), V(fabric),
    V(ansible)) overrides that choice.
requirements:
  - pydantic >= 2.7
  - tinydb >= 4.8
  - fabric >= 3.2
  - nvidia-ml-py
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - It changes nothing.
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    support: full
    details:
      - It changes nothing.
"""

    NODE = r"""
options: {}
notes:
  - Runs on the node itself.
  - It needs nothing there but the agent, which the playbook C(muster.training.provision) installs.
"""
