#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job
short_description: Submits a job, or cancels one that waits
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - A submitted job is C(QUEUED). M(muster.training.allocation) gives it nodes, also without submitting it first.
  - "In check mode nothing is submitted: that checks a job file before anything else is done."
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
    support: partial
    details:
      - Each submission is a run of its own, also under a name that was used before. Canceling is idempotent.
options:
  state:
    description:
      - V(present) submits O(spec).
      - V(canceled) cancels O(job), which must be C(QUEUED).
        What runs is stopped by the playbook C(muster.training.release).
    type: str
    choices: [present, canceled]
    default: present
  spec:
    description:
      - The job, as below C(muster_job) in a job file. An unknown key is an error that suggests the nearest known one.
      - C(name) and C(command) (a list of words) are required, and one way of asking for a size.
      - The ways are C(nodes) alone, C(nodes) with C(gpus_per_node) or C(slots_per_node), C(gpus) alone, and C(slots)
        alone.
      - Optional are C(cwd), C(env), C(secrets), C(constraints) (C(labels), C(gpu_model), C(min_gpu_memory_mib)),
        C(launcher), C(user), C(time_limit_s), C(hang_timeout_s), C(hang_signal), C(max_log_mib), C(grace_s),
        C(max_restarts) and C(priority).
      - The state does not keep the values of variables in C(env) that C(secrets) lists, or whose names look like those
        of secrets.
    type: dict
  job:
    description: The id of a job, or the name, which then is that of the latest job of that name.
    type: str
  reason:
    description: Why it is canceled.
    type: str
seealso:
  - module: muster.training.job_info
  - module: muster.training.allocation
"""

EXAMPLES = r"""
- name: Is the job file right?
  muster.training.job:
    spec: "{{ muster_job }}"
  check_mode: true
  run_once: true

- name: Queue a job
  muster.training.job:
    spec:
      name: resnet
      command: [python3, train.py]
      cwd: /srv/resnet
      nodes: 2
      gpus_per_node: 8
  run_once: true
  register: queued

- name: Cancel it
  muster.training.job:
    job: "{{ queued.job.id }}"
    state: canceled
  run_once: true
"""

RETURN = r"""
job:
  description:
    - The job as the state keeps it, without what is derived (see M(muster.training.job_info)).
    - The id that a job gets in check mode is not kept for it.
  returned: success
  type: dict
  sample:
    id: 2q8hr6b0vk
    name: resnet
    state: QUEUED
    spec: {name: resnet, command: [python3, train.py], nodes: 2, gpus_per_node: 8}
    attempts: []
    submitted_by: ansible:root@control
    created_at: "2026-11-23T01:02:03.000004Z"
error:
  description: The failure for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: What kind it is, such as V(invalid_input), V(not_found), V(invalid_transition) or V(store_error).
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
    from ..module_utils.door.jobs import change_job as answer
except ImportError as error:
    MISSING = error
else:
    MISSING = None

INTERFACE = {
    "argument_spec": {
        "store": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "canceled"], "default": "present"},
        "spec": {"type": "dict"},
        "job": {"type": "str"},
        "reason": {"type": "str"},
    },
    "mutually_exclusive": [("spec", "job")],
    "required_if": [("state", "present", ("spec",)), ("state", "canceled", ("job",))],
    "supports_check_mode": True,
}


def main():
    module = AnsibleModule(**INTERFACE)
    if MISSING is not None:
        module.fail_json(msg=missing_required_lib(MISSING.name))
    run_module(module, answer)


if __name__ == "__main__":
    main()
