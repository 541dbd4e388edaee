#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: reconcile
short_description: Make the state true after whatever has died
description:
  - Asks the nodes of the play, and those that hold a lease, what runs on them, with one command a node.
  - A job that ended with nobody watching gets the end that it had, and gives its leases back. What still runs is left
    running. A job whose supervisor is gone without a record is V(LOST), and so is one of whose nodes nothing has been
    heard for O(lost_after_s). A job that was taken for lost gets what its nodes say when they are back.
  - What runs for a job or an attempt that the state does not know is stopped. What another cluster's state has started
    is left alone.
  - A node that cannot say that nothing is left keeps its lease and is drained.
  - A second run changes nothing.
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
  lost_after_s:
    description: For how many seconds a node may be silent before its part of a job is given up.
    type: int
    default: 7200
seealso:
  - module: muster.training.gang
"""

EXAMPLES = r"""
- name: Make the state true
  muster.training.reconcile:
  run_once: true

- name: Only say what is not as the state says
  muster.training.reconcile:
  check_mode: true
  run_once: true
"""

RETURN = r"""
findings:
  description: What was found of each job, and done about it.
  returned: success
  type: list
  elements: dict
  contains:
    job:
      description: The job's id.
      type: str
    name:
      description: Its name; empty if the state does not have it.
      type: str
    nodes:
      description: The nodes in question.
      type: list
      elements: str
    found:
      description: What is the case, in words.
      type: str
    done:
      description: What was done about it, or would be in check mode. Empty where nothing was to be done.
      type: str
silent:
  description: The nodes that did not answer, and why. They are marked so in the state.
  returned: success
  type: dict
"""
