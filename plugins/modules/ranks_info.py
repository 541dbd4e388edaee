#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ranks_info
short_description: Tells what jobs have started on one node
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - Returns what the agent of a node recorded of the attempts that ran there, as it truly is now.
extends_documentation_fragment:
  - muster.training.agent
  - muster.training.attributes
  - muster.training.attributes.info
options:
  job:
    description: Only this job, by its id.
    type: str
  attempt:
    description: Only this attempt of O(job).
    type: int
  log_lines:
    description: Also return this many of the last lines of each rank's log of O(job).
    type: int
seealso:
  - module: muster.training.ranks
  - module: muster.training.job_info
"""

EXAMPLES = r"""
- name: What runs on this node?
  muster.training.ranks_info:
  register: found

- name: What did the ranks of a job say last?
  muster.training.ranks_info:
    job: 2q8hr6b0vk
    log_lines: 20
"""

RETURN = r"""
attempts:
  description: The attempts. Empty if the node knows none.
  returned: success
  type: list
  elements: dict
  contains:
    protocol:
      description: The version of the agent's language.
      type: int
    job:
      description: The id of the job.
      type: str
    name:
      description: The name of the job.
      type: str
    attempt:
      description: The number of the attempt.
      type: int
    epoch:
      description: Its epoch.
      type: int
    node:
      description: The name of this node in the cluster.
      type: str
    node_rank:
      description: Its rank among the nodes of the attempt.
      type: int
    state:
      description: One of V(starting), V(running), V(succeeded), V(failed), V(canceled), V(refused) and V(lost).
      type: str
    reason:
      description: Why it is in that state, or null.
      type: str
    ranks:
      description: Its ranks on this node, with C(rank), C(pid), C(state), C(exit_code), C(signal), C(log) and times.
      type: list
      elements: dict
    failure:
      description: The first rank that failed here, or null.
      type: dict
    left:
      description: How many processes of the attempt are left though it has ended.
      type: int
    problems:
      description: Why the start was refused, each with C(node), C(code) and C(message).
      type: list
      elements: dict
    supervisor:
      description: The process that looks after them, with C(pid), C(start_ticks) and C(unit) (of systemd, or null).
      type: dict
    boot_id:
      description: The boot of the node in which it was started.
      type: str
    created_at:
      description: When the start was asked for, by the node's clock (UTC, ISO 8601).
      type: str
    started_at:
      description: When the first rank was started, or null.
      type: str
    ended_at:
      description: When it ended, or null.
      type: str
    updated_at:
      description: When this record was written.
      type: str
logs:
  description: The end of each rank's log, of the latest attempt of O(job) or of O(attempt).
  returned: success
  type: list
  elements: dict
  contains:
    rank:
      description: The global rank.
      type: int
    log:
      description: The file on the node.
      type: str
    lines:
      description: The last O(log_lines) lines.
      type: list
      elements: str
error:
  description: The failure for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: The agent's word for it, or V(agent_missing), or V(no_answer).
      type: str
    message:
      description: What is wrong.
      type: str
    hint:
      description: What to do.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.door.agent_call import OPTIONS, Refused, ask_agent, attempts, fail


def main():
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str"},
            "attempt": {"type": "int"},
            "log_lines": {"type": "int"},
            **OPTIONS,
        },
        required_by={"attempt": ("job",), "log_lines": ("job",)},
        supports_check_mode=True,
    )
    job, attempt, lines = (module.params[name] for name in ("job", "attempt", "log_lines"))
    try:
        found = attempts(module, job, attempt)
        logs = []
        if lines and found and found[-1]["ranks"]:
            number = found[-1]["attempt"]
            logs = ask_agent(module, "logs", f"--job={job}", f"--attempt={number}", f"--lines={lines}")["logs"]
    except Refused as refused:
        fail(module, refused)
    module.exit_json(changed=False, attempts=found, logs=logs)


if __name__ == "__main__":
    main()
