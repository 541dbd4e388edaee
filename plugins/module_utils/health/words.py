# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at a node has found, in the words that health.yml and ``muster health`` share."""

from __future__ import annotations

from ..model import length
from .ask import Checkup

HEADINGS = ("NODE", "HEALTH", "SCORE", "LAST CHECK", "FINDING", "ACTION")


def cells(one: Checkup) -> tuple[str, ...]:
    """The line of a node, below HEADINGS: its worst finding, and what to do about it."""
    health = one.health
    return (
        one.node,
        health.state,
        "-" if health.score is None else str(health.score),
        last_check(one),
        f"{health.check}: {health.reason}" if health.check else health.reason or "-",
        health.action or "-",
    )


def last_check(one: Checkup) -> str:
    """How long ago somebody looked."""
    age_s = (one.report or {}).get("age_s")
    if age_s is None:
        return "never"
    return "just now" if one.health.source == "live" else f"{length(age_s)} ago"
