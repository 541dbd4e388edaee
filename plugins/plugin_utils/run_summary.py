# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few lines about the cluster below Ansible's recap of a play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..module_utils.cluster import View
from ..module_utils.model import counted, parse

Mood = Literal["good", "busy", "bad"]
Line = tuple[str, Mood]

MOST_NODES = 8
"""Longer lists of nodes are told as a number."""
MOST_LINES = 10
"""So many unreachable nodes are told one by one."""

_MOODS: Mapping[str, Mood] = {"SUCCEEDED": "good", "FAILED": "bad", "LOST": "bad", "CANCELED": "bad"}


def summary(view: View, jobs: Sequence[str], unreachable: Mapping[str, str]) -> list[Line]:
    """How many nodes there are of each status, the jobs with these ids, and why nodes were ``unreachable``."""
    known = {node["name"] for node in view.nodes}
    absent = [(name, why) for name, why in unreachable.items() if name in known]
    rows = {row["id"]: row for row in view.jobs}
    lines: list[tuple[str, str, Mood]] = []
    if view.nodes:
        counts = view.counts()
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        mood: Mood = "bad" if {"unreachable", "unhealthy"} & counts.keys() else "good"
        lines.append(("nodes", f"{len(view.nodes)}: {told}", mood))
    lines += [("job", _job(rows[job]), _MOODS.get(rows[job]["state"], "busy")) for job in jobs if job in rows]
    lines += [("unreachable", f"{name}: {why}", "bad") for name, why in absent[:MOST_LINES]]
    if len(absent) > MOST_LINES:
        lines.append(("unreachable", f"and {len(absent) - MOST_LINES} more", "bad"))
    width = max((len(label) for label, _text, _mood in lines), default=0)
    return [(f"{label:<{width}}  {text}", mood) for label, text, mood in lines]


def _job(row: Mapping[str, Any]) -> str:
    nodes = row["nodes"]
    told = f"{row['name']} {row['id']} {row['state']}"
    if row["restarts"]:
        told += f" after {counted(row['restarts'], 'restart')}"
    if row["started_at"] and row["ended_at"]:
        told += f" in {(parse(row['ended_at']) - parse(row['started_at'])).total_seconds():.1f} s"
    if nodes:
        told += f" on {', '.join(nodes)}" if len(nodes) <= MOST_NODES else f" on {len(nodes)} nodes"
    reason = (row["reason"] or "").partition("\n")[0]
    return f"{told}: {reason}" if reason else told
