#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: state
short_description: Backs up, restores, checks and compacts the state of the cluster
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - A backup is a file of its own that checks itself. It is read again before an older one is removed.
  - Restoring is a transaction like any other, so history shows what it changed. What it replaces is backed up first.
extends_documentation_fragment:
  - muster.training.store
  - muster.training.attributes
  - muster.training.attributes.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - History shows what a restored backup changed.
  idempotent:
    support: full
options:
  state:
    description:
      - V(backed_up) writes the state as it is now, unless nothing has changed since the newest backup.
      - V(restored) makes the state what it was when the backup O(path) was taken.
      - V(verified) reads everything that is on disk, and fails if any of it is not as it was written.
      - V(consistent) fails if what must hold of nodes, jobs and leases does not, and says what mends it. Nothing is
        leased twice, or to a job that is over. A job that runs holds all its nodes. Epochs rise, and every end has a
        reason.
      - V(compacted) folds the journal into a new snapshot, which stock TinyDB opens.
    type: str
    choices: [backed_up, restored, verified, consistent, compacted]
    required: true
  path:
    description:
      - For O(state=backed_up) the directory for backups, by default C(backups) in the store.
      - For O(state=restored) the backup, where it is required.
    type: path
  keep:
    description: How many backups of this cluster stay in the directory.
    type: int
    default: 10
  gzip:
    description: Whether to pack the backup.
    type: bool
    default: false
  force:
    description: Whether to restore also a state that is older than the present one, or that of another cluster.
    type: bool
    default: false
  jobs_older_than:
    description:
      - With O(state=compacted), jobs that ended longer ago than this (such as V(30d)) leave the state.
      - History keeps them whole.
    type: str
seealso:
  - module: muster.training.node_info
  - module: muster.training.job_info
"""

EXAMPLES = r"""
- name: Back the state up, and keep the last 30
  muster.training.state:
    state: backed_up
    path: /srv/backups/muster
    keep: 30
    gzip: true
  run_once: true
  register: backup

- name: Fail if anything on disk is not as it was written
  muster.training.state:
    state: verified
  run_once: true

- name: Fail if nodes, jobs and leases contradict each other
  muster.training.state:
    state: consistent
  run_once: true

- name: Go back to a backup
  muster.training.state:
    state: restored
    path: "{{ backup.file }}"
    force: true
  run_once: true
"""

RETURN = r"""
file:
  description: The backup that was written or restored.
  returned: O(state=backed_up) and O(state=restored)
  type: str
  sample: /srv/backups/muster/state-00000000000000000042-4146e131-20261123T055251Z.json.gz
serial:
  description: The serial of the state in it.
  returned: success
  type: int
undone:
  description: How many transactions the state had gone on since the backup, and that count no more.
  returned: O(state=restored)
  type: int
replaced:
  description: The backup of what was replaced; null in check mode, and where nothing was.
  returned: O(state=restored)
  type: str
removed:
  description: The older backups that were removed.
  returned: O(state=backed_up)
  type: list
  elements: str
checked:
  description: How many snapshots, journal segments, transactions and backups were read.
  returned: O(state=verified)
  type: dict
archived:
  description: The ids of the jobs that left the state.
  returned: O(state=compacted)
  type: list
  elements: str
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
    from ..module_utils.door.state import change_state as answer
except ImportError as error:
    MISSING = error
else:
    MISSING = None

INTERFACE = {
    "argument_spec": {
        "store": {"type": "str"},
        "state": {
            "type": "str",
            "choices": ["backed_up", "restored", "verified", "consistent", "compacted"],
            "required": True,
        },
        "path": {"type": "path"},
        "keep": {"type": "int", "default": 10},
        "gzip": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "jobs_older_than": {"type": "str"},
    },
    "required_if": [("state", "restored", ["path"])],
    "supports_check_mode": True,
}


def main():
    module = AnsibleModule(**INTERFACE)
    if MISSING is not None:
        module.fail_json(msg=missing_required_lib(MISSING.name))
    run_module(module, answer)


if __name__ == "__main__":
    main()
