#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ranks
short_description: Starts or stops the ranks of a job on one node
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - Has the agent of a node start its part of a job, or end everything that a job has started there.
  - It is meant for people who look into one node.
  - M(muster.training.gang) runs a job on all its nodes at once, and keeps the state.
extends_documentation_fragment:
  - muster.training.agent
  - muster.training.attributes
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
      - V(started) starts the processes of O(spec), and returns when they run or have ended.
      - V(stopped) ends everything that O(job) has started on this node, and returns when nothing is left.
    type: str
    choices: [started, stopped]
    default: started
  spec:
    description:
      - The node's part of the rank plan, as the agent takes it.
      - The same attempt with the same epoch again is found to be started.
    type: dict
  job:
    description: The id of the job to stop. A job that the node does not know is stopped already.
    type: str
  attempt:
    description: Only stop this attempt.
    type: int
  epoch:
    description: Do not stop an attempt of a later epoch than this.
    type: int
  grace_s:
    description: How long processes have between SIGTERM and SIGKILL, in seconds. By default as the job says.
    type: float
  reason:
    description: Why it is stopped, as it is kept in the node's record.
    type: str
seealso:
  - module: muster.training.ranks_info
  - module: muster.training.gang
"""

EXAMPLES = r"""
- name: End what a job has started on one node
  muster.training.ranks:
    job: 2q8hr6b0vk
    state: stopped
    reason: the node is needed

- name: Start this node's part of a job
  muster.training.ranks:
    spec: "{{ lookup('ansible.builtin.file', 'n1.json') | from_json }}"
"""

RETURN = r"""
attempt:
  description: The status of the attempt on this node (in check mode as it is now), or null if there is none.
  returned: always, if the agent gave one
  type: dict
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

UNDER_WAY = ("starting", "running")


def start(module, spec):
    """Start the node's part of an attempt, or find it started."""
    missing = [key for key in ("job", "attempt", "epoch") if not spec.get(key)]
    if missing:
        hint = "give the node's part of the rank plan as it is"
        raise Refused("spec_invalid", f"spec.{missing[0]} is missing", hint, {})
    known = attempts(module, spec["job"], spec["attempt"])
    if module.check_mode:
        attempt, after = (known[-1], known) if known else (None, [{**spec, "state": "running"}])
    else:
        attempt = ask_agent(module, "start", request=spec)["attempt"]
        after = [attempt]
    return {"changed": not known, "attempt": attempt, **diff(module, known, after)}


def stop(module, params):
    """End what the job has started here."""
    known = attempts(module, params["job"], params["attempt"])
    attempt = known[-1] if known else None
    if not module.check_mode:
        given = {"job": "job", "attempt": "attempt", "epoch": "epoch", "grace": "grace_s", "reason": "reason"}
        words = [f"--{option}={params[name]}" for option, name in given.items() if params[name] is not None]
        attempt = ask_agent(module, "stop", *words)["attempt"]
    changed = any(status["state"] in UNDER_WAY or status["left"] for status in known)
    after = [{**status, "state": "canceled"} if status["state"] in UNDER_WAY else status for status in known]
    return {"changed": changed, "attempt": attempt, **diff(module, known, after)}


def diff(module, before, after):
    """In diff mode, the state of each attempt before and after."""
    if not module._diff:
        return {}
    sides = {"before": before, "after": after}
    return {
        "diff": {
            side: {f"{status['job']}.{status['attempt']}": status["state"] for status in found}
            for side, found in sides.items()
        }
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "spec": {"type": "dict"},
            "job": {"type": "str"},
            "attempt": {"type": "int"},
            "epoch": {"type": "int"},
            "grace_s": {"type": "float"},
            "reason": {"type": "str"},
            **OPTIONS,
        },
        required_if=[("state", "started", ("spec",)), ("state", "stopped", ("job",))],
        mutually_exclusive=[("spec", "job")],
        supports_check_mode=True,
    )
    try:
        if module.params["state"] == "started":
            result = start(module, module.params["spec"])
        else:
            result = stop(module, module.params)
    except Refused as refused:
        fail(module, refused, **({"attempt": refused.payload["attempt"]} if "attempt" in refused.payload else {}))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
