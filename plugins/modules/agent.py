#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent
short_description: Ask the agents of many nodes at once
description:
  - Runs one verb of the agent on every host given, all of them at once, in one task.
  - A host without the agent, or with one of another version, gets it first.
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
  verb:
    description:
      - What to ask for; all of these only read.
      - V(inventory) is what the node has, V(status) what it runs, V(version) its agent's version.
      - V(health) is how the node is. If its monitor has not reported lately, it is looked at, which may take minutes.
    type: str
    choices: [inventory, status, health, version]
    default: inventory
  hosts:
    description: Names of inventory hosts. By default those of the play.
    type: list
    elements: str
  require_all:
    description: Whether a host that does not answer is a failure. By default only the silence of all of them is.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Ask all hosts of the play what they have
  muster.training.agent:
    verb: inventory
  register: answers
  run_once: true

- name: Keep it in the state
  muster.training.node:
    nodes: "{{ answers.nodes }}"
  run_once: true
"""

RETURN = r"""
answers:
  description: What each host that answered said (docs/agent.md), by host name.
  returned: always
  type: dict
nodes:
  description: With O(verb=inventory), one entry for each host that answered, as M(muster.training.node) takes them.
  returned: success
  type: list
  elements: dict
unreachable_nodes:
  description: The hosts that did not answer, and why.
  returned: always
  type: dict
installed:
  description: The hosts that got the agent.
  returned: always
  type: list
  elements: str
"""
