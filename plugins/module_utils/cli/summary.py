# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster at one glance: what there is, what of it is free, what goes on, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..cluster import View
from ..model import ENDED, counted
from .tables import STATE_STYLES, STATUS_STYLES, Document, free_text, jobs_table, nodes_table, state_text, status_text

TROUBLED = ("unreachable", "unhealthy", "drained", "draining", "unknown")


def summary_document(view: View, store: str) -> Document:
    """For programs: counts of everything, GPUs and slots of nodes in service, and who is out of it."""
    return {
        "store": store,
        "serial": view.serial,
        "lineage": view.lineage,
        "nodes": {"total": len(view.nodes), **view.counts()},
        "gpus": _capacity(view.nodes, with_gpus=True),
        "slots": _capacity(view.nodes, with_gpus=False),
        "jobs": {"total": len(view.jobs), **Counter(job["state"] for job in view.jobs)},
        "active": [job["id"] for job in view.jobs if job["state"] not in ENDED],
        "out_of_service": {node["name"]: node["status"] for node in view.nodes if node["status"] in TROUBLED},
    }


def summary(view: View, store: str, now: datetime) -> list[RenderableType]:
    """For people."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row(Text("Store", "dim"), Text(f"{store} (change {view.serial})"))
    counts = view.counts()
    statuses = [Text.assemble(f"{counts[word]} ", status_text(word)) for word in STATUS_STYLES if word in counts]
    facts.add_row(Text("Nodes", "dim"), Text(", ").join(statuses))
    for heading, with_gpus in (("GPUs", True), ("Slots", False)):
        capacity = _capacity(view.nodes, with_gpus=with_gpus)
        if capacity["size"]:
            free = free_text(capacity["free"], capacity["size"]).append(" free")
            facts.add_row(Text(heading, "dim"), free)
    states = Counter(job["state"] for job in view.jobs)
    told = [Text.assemble(f"{states[word]} ", state_text(word)) for word in STATE_STYLES if word in states]
    facts.add_row(Text("Jobs", "dim"), Text(", ").join(told) if told else Text("none yet"))
    parts: list[RenderableType] = [facts]
    active = [job for job in view.jobs if job["state"] not in ENDED]
    if active:
        parts += [Text(), jobs_table(active, now)]
    troubled = [node for node in view.nodes if node["status"] in TROUBLED]
    if troubled:
        parts += [Text(), Text(f"{counted(len(troubled), 'node')} out of service", "yellow")]
        parts += nodes_table(troubled, view.jobs, now)
    return parts


def _capacity(nodes: Sequence[Document], *, with_gpus: bool) -> dict[str, Any]:
    """What nodes in service offer: GPUs, or slots where there is no GPU."""
    offered = [node for node in nodes if bool(node["gpus"]) is with_gpus and node["status"] not in TROUBLED]
    return {"size": sum(node["size"] for node in offered), "free": sum(node["free"] for node in offered)}
