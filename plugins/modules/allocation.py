#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: allocation
short_description: Leases nodes for a job and numbers its ranks, or gives them back
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - Leases GPUs (or slots) and ports for a job, all or nothing, and returns the rank plan.
  - Leases whose job was not started within ten minutes are taken back by the next allocation.
  - Where others hold what the job needs, the nodes of those jobs are asked first, and what is over is settled
    (see O(muster.training.gang#module:state=settled)). Delegated to another host, this task cannot ask.
extends_documentation_fragment:
  - muster.training.store
  - muster.training.attributes
  - muster.training.attributes.cluster
attributes:
  check_mode:
    support: full
    details:
      - Returns the plan that it would make. It does not wait for capacity.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - V(present) with O(spec) makes a new job each time, and with O(job) it fails if the job is not C(QUEUED).
      - V(absent) is idempotent.
options:
  state:
    description:
      - V(present) leases nodes for O(job) or for the new job O(spec).
      - V(absent) gives back the leases of O(job) on the nodes O(cleared), and cancels the job if it had not ended.
      - V(withdrawn) takes back a launch that the nodes refused before any process was started.
        Neither leases nor the job stay.
    type: str
    choices: [present, absent, withdrawn]
    default: present
  spec:
    description:
      - A new job, as O(muster.training.job#module:spec). It is submitted and gets its leases in one transaction.
      - If it does not fit, nothing is left behind.
    type: dict
  job:
    description: The id of a job, or the name, which then is that of the latest job of that name.
    type: str
  within:
    description: Only use these nodes, such as those that C(--limit) leaves.
    type: list
    elements: str
  wait_for_capacity_s:
    description:
      - How long to wait, in seconds, while the job would fit but others hold what it needs.
      - A job that not even the idle cluster could hold fails at once.
    type: int
    default: 0
  cleared:
    description: The nodes that said that no process of O(job) is left. Only their leases are given back.
    type: list
    elements: str
  doubtful:
    description:
      - Nodes that could not say so, and why (name to reason).
      - They keep their leases and are drained with that reason.
    type: dict
  epoch:
    description: The epoch of the attempt to withdraw.
    type: int
  reason:
    description: Why the leases are given back.
    type: str
seealso:
  - module: muster.training.job
"""

EXAMPLES = r"""
- name: Lease nodes for a new job
  muster.training.allocation:
    spec: "{{ muster_job }}"
    within: "{{ ansible_play_hosts }}"
    wait_for_capacity_s: 600
  run_once: true
  register: allocated

- name: Give them back
  muster.training.allocation:
    job: "{{ allocated.job.id }}"
    state: absent
    cleared: "{{ allocated.plan.nodes | map(attribute='node') }}"
  run_once: true
"""

RETURN = r"""
job:
  description: The job as the state keeps it, without what is derived (see M(muster.training.job_info)).
  returned: when O(state) is V(present) or V(absent)
  type: dict
plan:
  description: The rank plan.
  returned: when O(state=present)
  type: dict
  contains:
    world_size:
      description: The number of ranks.
      type: int
    master_addr:
      description: The address of the first node, where ranks meet.
      type: str
    master_port:
      description: The leased port there.
      type: int
    link_port:
      description: Another one, where the supervisors keep in touch; null for a job on one node.
      type: int
    nodes:
      description:
        - The nodes in node-rank order, each with C(node), C(address), C(node_rank), C(gpus), C(slots) and C(ranks).
      type: list
      elements: dict
  sample:
    world_size: 3
    master_addr: 10.0.0.11
    master_port: 20001
    link_port: 25001
    nodes:
      - {node: n1, address: 10.0.0.11, node_rank: 0, gpus: [], slots: [0, 1], ranks: [0, 1]}
      - {node: n2, address: 10.0.0.12, node_rank: 1, gpus: [], slots: [0], ranks: [2]}
attempt:
  description: The number of the attempt that holds the leases.
  returned: when O(state=present)
  type: int
epoch:
  description: Its epoch.
  returned: when O(state=present)
  type: int
released:
  description: The leases that were given back.
  returned: when O(state) is V(absent) or V(withdrawn)
  type: list
  elements: dict
  contains:
    id:
      description: Its name in the state.
      type: str
    job:
      description: The id of the job that held it.
      type: str
    attempt:
      description: The number of the attempt.
      type: int
    epoch:
      description: The epoch of the attempt.
      type: int
    node:
      description: The node.
      type: str
    gpus:
      description: The uuids of the node's GPUs that it was for.
      type: list
      elements: str
    slots:
      description: The indices of the node's slots that it was for.
      type: list
      elements: int
    port:
      description: The rendezvous port, or null for a node other than the first.
      type: int
    link_port:
      description: Where the supervisors keep in touch, or null for a node other than the first and a job on one node.
      type: int
    granted_at:
      description: When it was granted (UTC, ISO 8601).
      type: str
    until:
      description: When it would have lapsed, or null for one whose job was started.
      type: str
drained:
  description: The nodes of O(doubtful) that were drained.
  returned: when O(state=absent)
  type: list
  elements: str
error:
  description: The failure for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: What kind it is, such as V(no_capacity), V(invalid_input), V(stale_epoch) or V(store_error).
      type: str
    message:
      description: What is wrong.
      type: str
    hint:
      description: What to do.
      type: str
    permanent:
      description: With V(no_capacity), whether not even the idle cluster would hold the job.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ..module_utils.door.allocations import change_allocation as answer
    from ..module_utils.door.call import run_module
except ImportError as error:
    MISSING = error
else:
    MISSING = None

INTERFACE = {
    "argument_spec": {
        "store": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent", "withdrawn"], "default": "present"},
        "spec": {"type": "dict"},
        "job": {"type": "str"},
        "within": {"type": "list", "elements": "str"},
        "wait_for_capacity_s": {"type": "int", "default": 0},
        "cleared": {"type": "list", "elements": "str"},
        "doubtful": {"type": "dict"},
        "epoch": {"type": "int"},
        "reason": {"type": "str"},
    },
    "mutually_exclusive": [("spec", "job")],
    "required_if": [
        ("state", "present", ("spec", "job"), True),
        ("state", "absent", ("job",)),
        ("state", "withdrawn", ("job", "epoch")),
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
