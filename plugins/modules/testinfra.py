#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: testinfra
short_description: Tests whether nodes are as they are to be
description:
  - Runs the collection's tests of nodes, and your own, with Testinfra. It changes nothing.
  - "The facts that are tested: C(ssh), C(python), C(agent) (there, and of this version), C(file_modes),
    C(monitor_enabled), C(monitor_running), C(monitor_settings) (those of the inventory), C(report) (fresh), C(health),
    C(gpus) (those of the inventory and the state), C(disk), C(clock) and C(no_orphan_rank)."
  - A fact that cannot be told because another one is wrong is skipped, so that the one to mend stands alone.
version_added: 0.1.0
author:
  - The Muster authors (@muster-training)
extends_documentation_fragment:
  - muster.training.store
  - muster.training.attributes
  - muster.training.attributes.fleet
  - muster.training.attributes.info
options:
  hosts:
    description: Names of inventory hosts. By default those of the play.
    type: list
    elements: str
  tests:
    description:
      - Files and directories on the control node with tests of your own. A fact is named after file and function, as
        C(disks.raid) of C(test_raid) in C(test_disks.py).
      - Their functions take Testinfra's fixture C(host). Of the host's variables, C(host.ansible.get_variables()) gives
        C(muster_health), and C(muster_verify), what is known of how the node is to be (C(agent), the version; C(gpus),
        by uuid; C(jobs) that it has been leased to). C(host.run) waits 90 seconds at most; C(host.ansible) runs no
        modules here.
    type: list
    elements: path
    default: []
  junit:
    description: Where to write what was found as JUnit XML. Not in check mode.
    type: path
requirements:
  - pytest-testinfra >= 10.1
"""

EXAMPLES = r"""
- name: Stop here unless all nodes are as they are to be
  muster.training.testinfra:
  run_once: true

- name: Test also what only we have, and keep the result
  muster.training.testinfra:
    tests: ["{{ playbook_dir }}/tests"]
    junit: "{{ playbook_dir }}/verify.xml"
  run_once: true
"""

RETURN = r"""
msg:
  description: How many nodes are as they are to be, or which are not and in what.
  returned: always
  type: str
failures:
  description: What is wrong and what to do, by node and fact.
  returned: when something is wrong
  type: dict
counts:
  description: How many facts of all nodes were found so (C(passed), C(failed)), or not found out (C(skipped)).
  returned: when the tests could be run
  type: dict
"""
