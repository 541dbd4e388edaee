# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How nodes are, one line each, or one of them on a page; and what watches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ..health import HEADINGS, Checkup, cells, last_check
from ..model import length
from .tables import Document, table_of
from .words import memory

HEALTH_STYLES = {"healthy": "green", "degraded": "yellow", "unhealthy": "bold red", "unknown": "dim"}
CHECK_STYLES = {"OK": "green", "WARNING": "yellow", "CRITICAL": "bold red", "UNKNOWN": "magenta", "SKIPPED": "dim"}


def health_table(found: Mapping[str, Checkup]) -> RenderableType:
    """A line a node: its worst finding, and what to do about it."""
    table = table_of(*HEADINGS)
    for one in found.values():
        name, state, *rest = cells(one)
        table.add_row(Text(name, "bold"), Text(state, HEALTH_STYLES[state]), *map(Text, rest))
    return table


def health_page(one: Checkup) -> list[RenderableType]:
    """Everything that was looked at on one node, and its GPUs."""
    report = one.report or {}
    health = one.health
    score = "" if health.score is None else f" ({health.score})"
    title = Text.assemble(
        (one.node, "bold"), "  ", (f"{health.state}{score}", HEALTH_STYLES[health.state]), f"  {last_check(one)}"
    )
    parts: list[RenderableType] = [title]
    if health.reason:
        parts.append(Text(f"{health.reason}{': ' if health.action else ''}{health.action}"))
    if report.get("gpus"):
        parts += [Text(), _gpus(report["gpus"])]
    if report.get("checks"):
        made = [row for row in report["checks"] if row["status"] != "SKIPPED"]
        skipped = sorted({row["check"] for row in report["checks"]} - {row["check"] for row in made})
        parts += [Text(), _checks(made)]
        parts += [Text(), Text(f"not looked at here: {', '.join(skipped)}", "dim")] if skipped else []
    return parts


def _checks(rows: Sequence[Document]) -> RenderableType:
    table = table_of("CHECK", "OF", "STATUS", "SINCE", "FINDING", "ACTION")
    for row in rows:
        marks = [word for word in ("latched", "flapping") if row[word]]
        marks += [] if row["confirmed"] or row["last"] == row["status"] else [f"now {row['last']}"]
        table.add_row(
            Text(row["check"]),
            Text(row["label"] or "-"),
            Text(row["status"], CHECK_STYLES[row["status"]]).append(f" ({', '.join(marks)})" if marks else "", "dim"),
            Text("-" if row["for_s"] is None else length(row["for_s"])),
            Text(row["reason"]),
            Text(row["action"] or "-"),
        )
    return table


def _gpus(gpus: Sequence[Document]) -> RenderableType:
    table = table_of("GPU", "MODEL", "MEMORY", "USE", "TEMP", "POWER", "PCIE", "NVLINKS", "ECC", "PROCESSES", "UUID")
    for gpu in gpus:
        used, total = gpu.get("memory", (None, None))
        links = gpu.get("nvlinks")
        table.add_row(
            Text(str(gpu["index"]), "bold"),
            Text(str(gpu.get("model", "-")).replace("NVIDIA ", "")),
            Text("-" if total is None else f"{memory(used)}/{memory(total)}"),
            Text(_told(gpu, "utilization", " %")),
            Text(_told(gpu, "temperature", " C")),
            Text(_told(gpu, "power", " W")),
            Text(f"x{gpu['pcie_width']} gen {gpu.get('pcie_generation', '?')}" if "pcie_width" in gpu else "-"),
            Text("-" if not links else f"{links['active']} of {links['active'] + len(links['inactive'])} up"),
            Text(_told(gpu, "ecc_uncorrected", "")),
            Text(", ".join(map(str, gpu.get("processes", []))) or "-"),
            Text(str(gpu.get("uuid", "-"))),
        )
    return table


def monitors_table(monitors: Mapping[str, Document]) -> RenderableType:
    """A line a node: whether its monitor runs, since when, and what it said last."""
    table = table_of("NODE", "MONITOR", "PID", "UPTIME", "MANAGED BY", "LAST SAMPLE", "HEALTH")
    for name, one in monitors.items():
        by = one["unit"] or "-"
        table.add_row(
            Text(name, "bold"),
            Text("running", "green") if one["pid"] else Text("stopped", "yellow"),
            Text(str(one["pid"] or "-")),
            Text("-" if one["uptime_s"] is None else length(one["uptime_s"])),
            Text(by if one["enabled"] is not False else f"{by} (not at boot)"),
            Text("never" if one["age_s"] is None else f"{length(one['age_s'])} ago"),
            Text(one["state"] or "-"),
        )
    return table


def _told(gpu: Mapping[str, Any], key: str, unit: str) -> str:
    return f"{gpu[key]:.0f}{unit}" if key in gpu else "-"
