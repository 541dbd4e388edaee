# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes and jobs as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .output import terminal_width, to_terminal
from .words import age, folded, memory, took

Document = dict[str, Any]

STATUS_STYLES = {
    "idle": "green",
    "mixed": "cyan",
    "allocated": "blue",
    "draining": "yellow",
    "drained": "yellow",
    "unhealthy": "bold red",
    "unreachable": "bold red",
    "unknown": "dim",
}

STATE_STYLES = {
    "QUEUED": "white",
    "ALLOCATED": "cyan",
    "STARTING": "cyan",
    "RUNNING": "bold blue",
    "SUCCEEDED": "green",
    "FAILED": "bold red",
    "CANCELED": "yellow",
    "LOST": "bold magenta",
}

BAR_CELLS = 8
WIDE = 100
"""From how many columns on a terminal has room for bars."""

FOLDED = ("MODEL", "LABELS", "JOBS", "NODES", "REASON", "GPUS", "FINDING", "ACTION", "OF")
"""The columns that give way where a terminal is narrow."""


def nodes_table(nodes: Sequence[Document], jobs: Sequence[Document], now: datetime) -> list[RenderableType]:
    """``nodes`` as in :class:`..cluster.View`; ``jobs`` give the names of those that run there.

    What is to be said about a node stands below the table for people, and in the node's row for scripts.
    """
    titles = {job["id"]: f"{job['name']} ({job['id']})" for job in jobs}
    notes = [note(node, now) for node in nodes]
    beside = any(notes) and not to_terminal()
    between = "\n" if to_terminal() else ", "
    table = table_of("NODE", "STATUS", "FREE", "MODEL", "MEMORY", "LABELS", "JOBS", "LAST SEEN", *["NOTE"] * beside)
    for node, remark in zip(nodes, notes, strict=True):
        cells = [
            Text(node["name"], "bold"),
            status_text(node["status"]),
            free_text(node["free"], node["size"]).append(" GPUs" if node["gpus"] else " slots"),
            Text(node["gpu_model"].replace("NVIDIA ", "") if node["gpus"] else "-"),
            Text(memory(node["gpu_memory_mib"]) if node["gpus"] else "-"),
            Text(between.join(f"{key}={value}" for key, value in sorted(node["labels"].items())) or "-"),
            Text(between.join(titles.get(job, job) for job in node["jobs"]) or "-"),
            Text(age(node["last_seen"], now)),
        ]
        table.add_row(*cells, *[Text(remark or "-")] * beside)
    if beside:
        return [table]
    below = [
        Text.assemble(node["name"], " ", status_text(node["status"]), f": {remark}")
        for node, remark in zip(nodes, notes, strict=True)
        if remark
    ]
    return [table, *([Text()] if below else []), *below]


def jobs_table(jobs: Sequence[Document], now: datetime) -> Table:
    """``jobs`` as in :class:`..cluster.View`."""
    table = table_of("ID", "NAME", "STATE", "NODES", "RANKS", "SUBMITTED", "TOOK", "REASON")
    for job in jobs:
        table.add_row(
            Text(job["id"], "bold"),
            Text(job["name"]),
            state_text(job["state"]),
            Text(folded(job["nodes"]) or "-"),
            Text(str(job["world_size"] or "-")),
            Text(age(job["created_at"], now)),
            Text(took(job["started_at"], job["ended_at"], now) or "-"),
            Text(job["reason"] or "-"),
        )
    return table


def table_of(*headings: str) -> Table:
    """An empty table in the house's looks; what does not fit a terminal is folded, never cut off."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading not in FOLDED, min_width=min(len(heading), 6))
    return table


def status_text(status: str) -> Text:
    """A node's status in its colour."""
    return Text(status, STATUS_STYLES[status])


def state_text(state: str) -> Text:
    """A job's state in its colour."""
    return Text(state, STATE_STYLES[state])


def free_text(free: int, size: int) -> Text:
    """``6/8``, on a terminal that is wide enough after a bar that is as long as there is room."""
    words = Text(f"{free}/{size}")
    if not to_terminal() or terminal_width() < WIDE or not size:
        return words
    # Only what is wholly free or taken looks so.
    full = min(max(round(BAR_CELLS * free / size), min(free, 1)), BAR_CELLS - min(size - free, 1))
    return Text.assemble(("━" * full, "green"), ("━" * (BAR_CELLS - full), "bright_black"), " ", words)


def note(node: Mapping[str, Any], now: datetime) -> str:
    """Why the node is not offered, and who said so; empty where there is nothing to say."""
    if node["status"] == "unreachable":
        return f"{node['reachability']['reason']}, {age(node['reachability']['at'], now)}"
    admin = node["admin"]
    by = f"({admin['by']}, {age(admin['at'], now)})"
    if node["status"] == "unhealthy" or (node["status"] == "unknown" and node["health"]["at"]):
        out = "" if admin["state"] == "enabled" else f"; {admin['state']} {by}"
        return f"{node['health']['reason']}, {age(node['health']['at'], now)}{out}"
    return "" if admin["state"] == "enabled" else f"{admin['reason']} {by}"
