#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gang
short_description: Start, follow, stop or settle all ranks of a job at once
description:
  - A gang is all ranks of a job on all its nodes. This module speaks to all of them at once, in one task.
version_added: 0.1.0
author:
  - The Muster authors (@muster-training)
extends_documentation_fragment:
  - muster.training.store
  - muster.training.attributes
  - muster.training.attributes.fleet
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  state:
    description:
      - V(started) starts the ranks of an allocated job with one command a node, and returns when all of them run. All
        nodes check the job's needs first; if one refuses, none starts anything and the job is taken back. A node that
        does not answer is left out and the job is placed anew, as long as enough nodes remain.
      - V(finished) waits for the end of a job that runs, shows its progress, stops the others when one rank fails,
        releases the nodes, and fails if the job does. A job that may be restarted (C(max_restarts)) is started again,
        and followed to the end of its last attempt.
      - V(stopped) ends a job wherever it runs, waits until nothing of it is left, and releases its nodes.
      - V(settled) asks the nodes about jobs that hold leases, and ends and releases those that are over.
    type: str
    choices: [started, finished, stopped, settled]
    required: true
  job:
    description: Id of the job, or the name of the latest one of that name.
    type: str
  jobs:
    description: With O(state=stopped), several jobs, or V(all) of those that hold leases or have not ended.
    type: list
    elements: str
  env:
    description:
      - With O(state=started), the job's own environment, since the state does not keep secrets.
      - With O(state=finished), the same for restarts.
    type: dict
  within:
    description:
      - With O(state=started), names of the nodes that may replace one that does not answer.
      - With O(state=finished), names of the nodes that restarts may use. By default all.
    type: list
    elements: str
  preflight:
    description:
      - With O(state=started), and for restarts, whether the nodes try to reach each other on the network first, and
        look for processes on the leased GPUs that are of no job.
      - The job's directory, program, user, GPUs and ports are checked in any case.
    type: bool
    default: true
  wait_for_capacity_s:
    description:
      - With O(state=finished), how many seconds a restart waits for nodes that other jobs hold, or that are out of
        service.
    type: int
    default: 0
  progress_s:
    description: With O(state=finished), seconds between two lines of progress.
    type: int
    default: 10
  reason:
    description: With O(state=stopped), why; it is kept with the job.
    type: str
    default: stopped by the user
"""

EXAMPLES = r"""
- name: Start the ranks
  muster.training.gang:
    state: started
    job: "{{ allocation.job.id }}"
  run_once: true

- name: Wait for the end of the job
  muster.training.gang:
    state: finished
    job: "{{ allocation.job.id }}"
  run_once: true
"""

RETURN = r"""
job:
  description: The job's C(id), C(name), C(state) and C(reason). M(muster.training.job_info) has the rest.
  returned: when one job was named
  type: dict
jobs:
  description: The jobs that were ended or settled, each as in RV(job).
  returned: with O(state=stopped) or O(state=settled)
  type: list
  elements: dict
plan:
  description: Who is which rank, and where they meet.
  returned: with O(state=started)
  type: dict
left_out:
  description: Nodes that did not answer and were replaced, and why.
  returned: with O(state=started)
  type: dict
commands:
  description: How many remote commands each node was sent.
  returned: with O(state=started)
  type: dict
doubtful:
  description: Nodes that could not say that nothing of the job is left; they keep their lease and are drained.
  returned: with O(state=finished) or O(state=stopped)
  type: dict
"""
