#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job_info
short_description: Tells about jobs
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - Returns jobs with their attempts, rank plans and failures.
  - Without options it returns all of them. A job must satisfy every option that is given.
extends_documentation_fragment:
  - muster.training.store
  - muster.training.attributes
  - muster.training.attributes.cluster
  - muster.training.attributes.info
options:
  jobs:
    description: Only the jobs with these ids or names. Those that the state does not know are returned in RV(missing).
    type: list
    elements: str
  states:
    description: Only jobs in one of these states.
    type: list
    elements: str
    choices: [QUEUED, ALLOCATED, STARTING, RUNNING, SUCCEEDED, FAILED, CANCELED, LOST]
  active:
    description: Only jobs that have not ended.
    type: bool
    default: false
seealso:
  - module: muster.training.job
"""

EXAMPLES = r"""
- name: What is running?
  muster.training.job_info:
    active: true
  run_once: true
  register: running

- name: Why did it fail?
  muster.training.job_info:
    jobs: [resnet]
    states: [FAILED]
  run_once: true
  register: failed
"""

RETURN = r"""
jobs:
  description: The jobs, oldest first. Empty if there is none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name. Several jobs may have the same.
      type: str
    state:
      description: Its state.
      type: str
    reason:
      description: Why it is in that state.
      type: str
    unwanted:
      description: Why somebody wants it to end, if somebody does. It is not started again then.
      type: str
    spec:
      description: What was asked for.
      type: dict
    attempts:
      description:
        - Its attempts in order, each with C(number), C(epoch), C(state), C(plan), C(failure), C(reason) and times.
        - C(blamed) has the nodes that were the cause of its end, if nodes were; C(late) what nodes said of it when
          another attempt had followed, which counts for nothing.
      type: list
      elements: dict
    attempt:
      description: The number of the last attempt, or null.
      type: int
    epoch:
      description: The epoch of the last attempt, or null.
      type: int
    restarts:
      description: How often it was started again.
      type: int
    world_size:
      description: How many ranks the last attempt has, or null.
      type: int
    nodes:
      description: The nodes of the last attempt, in node-rank order.
      type: list
      elements: str
    leased:
      description: The nodes on which it holds a lease now.
      type: list
      elements: str
    failure:
      description: The first rank that failed in the last attempt, or null.
      type: dict
    submitted_by:
      description: Who submitted it.
      type: str
    created_at:
      description: When it was submitted (UTC, ISO 8601).
      type: str
    started_at:
      description: When it last started to run, or null.
      type: str
    ended_at:
      description: When it ended, or null.
      type: str
missing:
  description: Which of O(jobs) the state does not know.
  returned: success
  type: list
  elements: str
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
    from ..module_utils.door.jobs import jobs_info as answer
except ImportError as error:
    MISSING = error
else:
    MISSING = None

INTERFACE = {
    "argument_spec": {
        "store": {"type": "str"},
        "jobs": {"type": "list", "elements": "str"},
        "states": {
            "type": "list",
            "elements": "str",
            "choices": ["QUEUED", "ALLOCATED", "STARTING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "LOST"],
        },
        "active": {"type": "bool", "default": False},
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
