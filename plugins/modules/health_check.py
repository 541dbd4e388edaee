#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_check
short_description: Enter in the state how nodes are
description:
  - Asks all hosts at once, and enters what they say with one transaction.
  - A node that is unhealthy, or of which nothing can be told though it is watched, gets no jobs until it is well.
  - A node that does not answer is marked unreachable. What the state has of its health stays.
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
    details:
      - When a node was last looked at is entered each time, and is no change.
options:
  source:
    description:
      - V(daemon) takes what the node's monitor has said. That is V(unknown) where none runs, or the report is old.
      - V(live) has the node looked at now, which may take minutes where something hangs.
      - V(auto) is the first where the report is fresh, and else the second.
    type: str
    choices: [auto, daemon, live]
    default: auto
  hosts:
    description: Names of inventory hosts. By default those of the play.
    type: list
    elements: str
  auto_drain:
    description:
      - Drains nodes on which a vital check is CRITICAL, and resumes those that were drained so when they are well.
      - What runs there goes on. Drains that people have set are left alone.
      - No more than a tenth of the nodes, but one at least, is drained within 10 minutes.
    type: bool
    default: true
  fail_on:
    description: The task fails if a node is so. What was found is entered all the same.
    type: list
    elements: str
    choices: [degraded, unhealthy, unknown]
    default: []
"""

EXAMPLES = r"""
- name: Enter how the nodes are
  muster.training.health_check:
  run_once: true

- name: Look at them now, and stop here if one cannot be used
  muster.training.health_check:
    source: live
    fail_on: [unhealthy, unknown]
  run_once: true
"""

RETURN = r"""
nodes:
  description: How each host is, by name.
  returned: success
  type: dict
  contains:
    NODE:
      description: One node.
      type: dict
      contains:
        vital:
          description: Whether a check is CRITICAL without which no job can run.
          type: bool
        state:
          description: V(healthy), V(degraded) (it works, and is to be looked at), V(unhealthy) or V(unknown).
          type: str
        score:
          description: From 0 to 100, in bands that go with the state; null where nothing can be told.
          type: int
        check:
          description: The worst finding's check.
          type: str
        reason:
          description: The worst finding.
          type: str
        action:
          description: What to do about it.
          type: str
        source:
          description: Who has looked, V(daemon) or V(live).
          type: str
        at:
          description: Always null here; in the state, since when this is the verdict.
          type: str
        last_check:
          description: When the node was looked at (UTC, ISO 8601).
          type: str
        drained_at:
          description: Always null here; in the state, when it was last drained for its health.
          type: str
        alerts:
          description: The confirmed faults, with since when and how often.
          type: list
          elements: dict
drained:
  description: The nodes that were drained.
  returned: success
  type: list
  elements: str
resumed:
  description: The nodes that are offered again.
  returned: success
  type: list
  elements: str
spared:
  description: The nodes that would have been drained as well, had that not been too many.
  returned: success
  type: list
  elements: str
unreachable_nodes:
  description: Why the others did not answer, by name.
  returned: success
  type: dict
"""
