#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: Tells about the nodes of the cluster
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - Returns nodes with everything that is derived about them, such as their status and what is free.
  - Without options it returns all of them. A node must satisfy every option that is given.
extends_documentation_fragment:
  - muster.training.store
  - muster.training.attributes
  - muster.training.attributes.cluster
  - muster.training.attributes.info
options:
  names:
    description: Only these nodes. Those that the state does not know are returned in RV(missing).
    type: list
    elements: str
  statuses:
    description: Only nodes with one of these statuses.
    type: list
    elements: str
    choices: [unreachable, unhealthy, drained, draining, allocated, mixed, idle, unknown]
  labels:
    description: Only nodes that have all of these labels with these values.
    type: dict
seealso:
  - module: muster.training.node
"""

EXAMPLES = r"""
- name: Which nodes of rack A are free?
  muster.training.node_info:
    statuses: [idle]
    labels: {topology: rack-a}
  run_once: true
  register: free

- name: Say them
  ansible.builtin.debug:
    msg: "{{ free.nodes | map(attribute='name') }}"
"""

RETURN = r"""
nodes:
  description: The nodes, in the order in which they get ranks. Empty if there is none.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The inventory's name for it.
      type: str
    address:
      description: Where the other nodes of a job reach it.
      type: str
    labels:
      description: Its labels.
      type: dict
    status:
      description: The worst that is true of it.
      type: str
    size:
      description: Its GPUs, or its slots if it has no GPU.
      type: int
    free:
      description: How many of those nobody holds.
      type: int
    jobs:
      description: The ids of the jobs that hold the rest.
      type: list
      elements: str
    gpus:
      description: Its GPUs.
      type: list
      elements: dict
    slots:
      description: How many processes it offers if it has no GPU.
      type: int
    gpu_model:
      description: The models of its GPUs, or V(unknown).
      type: str
    gpu_memory_mib:
      description: The memory of its smallest GPU.
      type: int
    admin:
      description: What people decided about it, who did, when and why.
      type: dict
    health:
      description: The last verdict about its hardware.
      type: dict
    reachability:
      description: Whether the last contact succeeded, since when, and why not.
      type: dict
    last_seen:
      description: When it was last seen (UTC, ISO 8601).
      type: str
    boot_id:
      description: Which boot the facts are from.
      type: str
    interface:
      description: The network interface for ranks, or null for the one that routes to the peers.
      type: str
    state_dir:
      description: Where its agent keeps things.
      type: str
    connection:
      description: How to reach it without an inventory.
      type: dict
    cpus:
      description: Its CPUs.
      type: int
    memory_mib:
      description: Its memory.
      type: int
    created_at:
      description: When the state first knew it (UTC, ISO 8601).
      type: str
missing:
  description: Which of O(names) the state does not know.
  returned: success
  type: list
  elements: str
counts:
  description: How many nodes of the whole cluster have each status.
  returned: success
  type: dict
  sample: {idle: 3, drained: 1}
serial:
  description: How many transactions have changed the state so far.
  returned: success
  type: int
error:
  description: The failure for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: What kind it is, such as V(store_error).
      type: str
    message:
      description: What is wrong.
      type: str
    hint:
      description: What to do.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ..module_utils.door.call import run_module
    from ..module_utils.door.nodes import nodes_info as answer
except ImportError as error:
    MISSING = error
else:
    MISSING = None

INTERFACE = {
    "argument_spec": {
        "store": {"type": "str"},
        "names": {"type": "list", "elements": "str"},
        "statuses": {
            "type": "list",
            "elements": "str",
            "choices": ["unreachable", "unhealthy", "drained", "draining", "allocated", "mixed", "idle", "unknown"],
        },
        "labels": {"type": "dict"},
    },
    "supports_check_mode": True,
}


def main():
    module = AnsibleModule(**INTERFACE)
    if MISSING is not None:
        module.fail_json(msg=missing_required_lib(MISSING.name))
    run_module(module, answer)


if __name__ == "__main__":
    main()
