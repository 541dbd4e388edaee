# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One job on a page: what was asked for, who is which rank, and if it failed, how."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..gang import first_failure
from ..model import counted
from .tables import Document, state_text, table_of
from .words import age, spans, took


def job_page(job: Document, nodes: Sequence[Document], now: datetime) -> list[RenderableType]:
    """``job`` and ``nodes`` as in :class:`..cluster.View`."""
    title = Text.assemble((job["name"], "bold"), f" ({job['id']})  ", state_text(job["state"]))
    if job["reason"]:
        title.append(f"  {job['reason']}")
    parts: list[RenderableType] = [title, Text(), _facts(job, now)]
    attempt = job["attempts"][-1] if job["attempts"] else None
    if attempt is not None:
        plan = attempt["plan"]
        meet = f"{counted(plan['world_size'], 'rank')}, meeting at {plan['master_addr']}:{plan['master_port']}"
        parts += [Text(), Text(meet), _ranks(plan, nodes)]
    if len(job["attempts"]) > 1:
        parts += [Text(), _attempts(job["attempts"], now)]
    if job["failure"]:
        parts += [Text(), *_failure(job["failure"])]
    return parts


def _facts(job: Document, now: datetime) -> Table:
    spec = job["spec"]
    last = job["attempts"][-1] if job["attempts"] else {}
    facts = {
        "command": shlex.join(spec["command"]),
        "directory": spec["cwd"],
        "user": spec["user"],
        "size": _size(spec),
        "launcher": spec["launcher"] if spec["launcher"] != "direct" else None,
        "hang timeout": f"{spec['hang_timeout_s']} s" if spec.get("hang_timeout_s") else None,
        "time limit": f"{spec['time_limit_s']} s" if spec["time_limit_s"] else None,
        "environment": " ".join(f"{key}={shlex.quote(value)}" for key, value in spec["env"].items()),
        "submitted": f"{job['created_at']} ({age(job['created_at'], now)}) by {job['submitted_by']}",
        "attempt": f"{last['number']} (epoch {last['epoch']})" if last else None,
        "restarts": f"up to {spec['max_restarts']}" if spec.get("max_restarts") else None,
        "started": job["started_at"],
        "ended": job["ended_at"],
        "took": took(job["started_at"], job["ended_at"], now),
        "still held": ", ".join(job["leased"]) if job["ended_at"] else None,
    }
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for word, value in facts.items():
        if value:
            table.add_row(Text(word, "dim"), Text(value))
    return table


def _size(spec: Document) -> str:
    if spec["nodes"]:
        each = spec["gpus_per_node"] or spec["slots_per_node"]
        unit = "GPU" if spec["gpus_per_node"] else "slot"
        return f"{counted(spec['nodes'], 'node')}, " + (f"{counted(each, unit)} each" if each else "whole")
    return counted(spec["gpus"], "GPU") if spec["gpus"] else counted(spec["slots"], "slot")


def _ranks(plan: Document, nodes: Sequence[Document]) -> Table:
    indices = {gpu["uuid"]: gpu["index"] for node in nodes for gpu in node["gpus"]}
    table = table_of("NODE", "NODE RANK", "RANKS", "GPUS" if plan["nodes"][0]["gpus"] else "SLOTS", "ADDRESS")
    for part in plan["nodes"]:
        held = spans([*part["slots"], *(indices[uuid] for uuid in part["gpus"] if uuid in indices)])
        gone = [uuid for uuid in part["gpus"] if uuid not in indices]
        cells = (part["node"], str(part["node_rank"]), spans(part["ranks"]), ", ".join([held, *gone]), part["address"])
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _attempts(attempts: Sequence[Document], now: datetime) -> Table:
    table = table_of("ATTEMPT", "EPOCH", "STATE", "NODES", "STARTED", "TOOK", "WHY")
    for one in attempts:
        late = [f"{node} {said}, which came too late" for node, said in one.get("late", {}).items()]
        table.add_row(
            Text(str(one["number"])),
            Text(str(one["epoch"])),
            state_text(one["state"]),
            Text(", ".join(part["node"] for part in one["plan"].get("nodes", []))),
            Text(one["started_at"] or "-"),
            Text(took(one["started_at"], one["ended_at"], now) or "-"),
            Text("; ".join([*([one["reason"]] if one["reason"] else []), *late]) or "-"),
        )
    return table


def _failure(failure: Document) -> list[RenderableType]:
    said = first_failure(failure)
    parts: list[RenderableType] = [Text(f"{said[:1].upper()}{said[1:]}", "bold red")]
    if failure.get("error"):
        parts += [Text("Its error file says:"), Padding(Text.from_ansi(str(failure["error"])), (0, 0, 0, 2))]
    if failure.get("tail"):
        lines = Text("\n").join(Text.from_ansi(line) for line in failure["tail"])
        parts += [Text("The last lines of its log:"), Padding(lines, (0, 0, 0, 2))]
    return parts
