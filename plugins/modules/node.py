#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Adds, updates, drains, resumes or removes nodes of the cluster
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - Makes the state say of nodes what the inventory and their agents say of them, or what people decide about them.
  - A task takes a whole list, and is one transaction however long the list is.
  - If one node of the list is refused, nothing is changed.
extends_documentation_fragment:
  - muster.training.store
  - muster.training.attributes
  - muster.training.attributes.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) adds and updates O(nodes). What people and monitors decided about them stays.
      - V(absent) forgets O(names). A node that holds a lease is refused, unless the job is over and the node could not
        say that nothing is left of it. So a machine that is gone for good is let go of.
      - V(drained) takes O(names) out of placement. What runs there may end.
      - V(draining) is the same, displayed as C(draining) until the last job there has ended.
      - V(resumed) offers O(names) again.
    type: str
    choices: [present, absent, drained, draining, resumed]
    default: present
  nodes:
    description:
      - What is known of each node, for O(state=present).
      - An unknown key is an error that suggests the nearest known one.
      - C(name) and C(address) are required. C(address) is where the other nodes of a job reach it.
      - C(labels) is a dictionary. The label C(topology) orders ranks.
      - C(gpus) is a list of dictionaries with C(index), C(uuid), C(model), C(memory_mib), C(pci) and C(mig), as
        M(muster.training.gpu_info) returns it.
      - C(slots) is the number of processes that a node without GPUs offers, by default C(cpus).
      - C(interface), C(state_dir), C(connection), C(cpus), C(memory_mib) and C(boot_id) are optional.
    type: list
    elements: dict
  names:
    description: The nodes that any other O(state) is about.
    type: list
    elements: str
  purge:
    description:
      - Also forgets every node that is neither in O(nodes) nor in O(keep).
      - A node that holds a lease is kept, with a warning, and returned in RV(kept).
    type: bool
    default: false
  keep:
    description:
      - Names that O(purge) leaves alone although they are not in O(nodes), such as nodes that cannot be reached now.
    type: list
    elements: str
  reason:
    description: Why, as it is kept with the change. Required to drain.
    type: str
seealso:
  - module: muster.training.node_info
"""

EXAMPLES = r"""
- name: Know two nodes, one with a GPU
  muster.training.node:
    nodes:
      - name: gpu1
        address: 10.0.0.11
        labels: {topology: rack-a}
        gpus:
          - {index: 0, uuid: GPU-5f6d0000-0000-0000-0000-000000000001, model: NVIDIA H100, memory_mib: 81559}
      - name: cpu1
        address: 10.0.0.21
        slots: 8
  run_once: true

- name: Take a node out of placement
  muster.training.node:
    names: [gpu1]
    state: drained
    reason: memory is replaced on Tuesday
  run_once: true

- name: Offer it again
  muster.training.node:
    names: [gpu1]
    state: resumed
  run_once: true
"""

RETURN = r"""
nodes:
  description:
    - The nodes of the task as the state keeps them after it.
    - What is derived, such as their status, is returned by M(muster.training.node_info).
  returned: success
  type: list
  elements: dict
  sample:
    - name: cpu1
      address: 10.0.0.21
      slots: 8
      gpus: []
      gpu_model: unknown
      gpu_memory_mib: 0
      admin: {state: enabled, by: "", at: null, reason: ""}
changes:
  description: What happened to which node. Nodes that nothing happened to are left out.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The node.
      type: str
    action:
      description: One of V(created), V(updated), V(removed), and V(kept) for one that O(purge) could not remove.
      type: str
    reason:
      description: Why it was kept.
      type: str
  sample:
    - {name: cpu1, action: created, reason: ""}
kept:
  description: The names of nodes that O(purge) could not remove, because they hold a lease.
  returned: success
  type: list
  elements: str
error:
  description: The failure for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: What kind it is, such as V(invalid_input), V(not_found), V(in_use) or V(store_error).
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
    from ..module_utils.door.nodes import change_nodes as answer
except ImportError as error:
    MISSING = error
else:
    MISSING = None

INTERFACE = {
    "argument_spec": {
        "store": {"type": "str"},
        "state": {
            "type": "str",
            "choices": ["present", "absent", "drained", "draining", "resumed"],
            "default": "present",
        },
        "nodes": {"type": "list", "elements": "dict"},
        "names": {"type": "list", "elements": "str"},
        "purge": {"type": "bool", "default": False},
        "keep": {"type": "list", "elements": "str"},
        "reason": {"type": "str"},
    },
    "mutually_exclusive": [("nodes", "names")],
    "required_if": [
        ("state", "present", ("nodes",)),
        ("state", "absent", ("names",)),
        ("state", "drained", ("names", "reason")),
        ("state", "draining", ("names", "reason")),
        ("state", "resumed", ("names",)),
    ],
    "supports_check_mode": True,
}


def main():
    module = AnsibleModule(**INTERFACE)
    if MISSING is not None:
        module.fail_json(msg=missing_required_lib(MISSING.name))
    run_module(module, answer)


if __name__ == "__main__":
    main()
