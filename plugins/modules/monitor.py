#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monitor
short_description: Sets up, starts and stops the monitors of nodes
description:
  - The monitor watches a node's health. It is a service where systemd runs and the play is root on the node, and a
    process of its own elsewhere.
  - All nodes are told at once, in one task. A node without the agent, or with one of another version, gets it first.
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
    support: full
  idempotent:
    support: full
    details:
      - But for V(restarted).
options:
  state:
    description:
      - V(present) writes the settings that the variables C(muster_health), C(muster_alert_command) and
        C(muster_alert_url) of each host ask for, and the unit where systemd runs; enables it at boot; and starts it.
      - V(absent) stops it and takes those files away. What it has seen stays.
      - V(started), V(stopped) and V(restarted) leave the files as they are.
      - V(reported) changes nothing.
    type: str
    choices: [present, absent, started, stopped, restarted, reported]
    default: present
  hosts:
    description: Names of inventory hosts. By default those of the play.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Watch the nodes
  muster.training.monitor:
  run_once: true

- name: Let go of the GPUs for a reset
  muster.training.monitor:
    state: stopped
    hosts: [n1]
  run_once: true
"""

RETURN = r"""
monitors:
  description: The monitor of each node that did as it was told, by the node's name.
  returned: success
  type: dict
  contains:
    NODE:
      description: One node.
      type: dict
      contains:
        pid:
          description: Its process; null if it does not run.
          type: int
        uptime_s:
          description: For how long it runs, in seconds.
          type: float
        unit:
          description: Its unit; null if it is no service of systemd's.
          type: str
        enabled:
          description: Whether systemd starts it at boot.
          type: bool
        state:
          description: What it says of the node; null if it has not looked at it since the boot.
          type: str
        age_s:
          description: How old that is, in seconds.
          type: float
        interval_s:
          description: How often it looks, in seconds.
          type: float
        changed:
          description: Whether anything was changed.
          type: bool
        changes:
          description: What was changed, in words; with O(state=present) and O(state=absent).
          type: list
          elements: str
failures:
  description: Why the other nodes did not, by name.
  returned: failure
  type: dict
"""
