# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the daemon says of the node, and what it needs itself when it is started again, as it writes them down.

`latest` has the files. Those about one boot lie in memory where they can; so nothing is flushed to disk for them.
"""

from __future__ import annotations

import json
import os
from typing import Any

from .. import files
from ..clock import now as wall
from ..layout import Layout
from ..version import PROTOCOL, version
from .latest import paths
from .result import STATUSES
from .watch import Change, Watch, rows_of

Document = dict[str, Any]

HISTORY_LINES = 1000
GPU_KEYS = (
    "index",
    "uuid",
    "model",
    "pci",
    "memory",
    "utilization",
    "temperature",
    "temperature_memory",
    "power",
    "power_limit",
    "throttle",
    "processes",
    "ecc_corrected",
    "ecc_uncorrected",
    "remap",
    "nvlinks",
    "pcie_width",
    "pcie_generation",
    "clock",
    "persistence",
    "mig",
)


def make(watch: Watch, facts: Document, now: float, *, source: str, interval_s: float | None = None) -> Document:
    """Return the report: docs/agent.md has its shape. `facts`: the last of each sampler. `now`: seconds since boot."""
    verdict = watch.verdict()
    rows = rows_of(watch, verdict.worst, now)
    first = rows[0] if verdict.worst else None
    gpus = (facts.get("nvml") or {}).get("gpus", [])
    return {
        "protocol": PROTOCOL,
        "agent": version(),
        "source": source,
        "node": watch.settings.node,
        "boot_id": watch.boot_id,
        "at": wall(),
        "boottime_s": round(now, 3),
        "interval_s": interval_s,
        "state": verdict.state,
        "score": verdict.score,
        "passes": round(verdict.passes, 4),
        "reason": first["reason"] if first else "",
        "action": first["action"] if first else "",
        "checks": rows,
        "gpus": [{key: gpu[key] for key in GPU_KEYS if key in gpu} for gpu in gpus],
    }


def publish(layout: Layout, document: Document, watch: Watch, stuck: list[Any]) -> None:
    """Write report and memory. Raises OSError."""
    found = paths(layout)
    # What a report has told is never forgotten: the memory comes first.
    replace(found["memory"], json.dumps({**watch.to_document(), "stuck": stuck}))
    replace(found["report"], json.dumps(document))
    if watch.settings.prometheus:
        replace(os.path.join(watch.settings.prometheus, "muster.prom"), prometheus(document))


def replace(path: str, text: str) -> None:
    """Put the text in the place of the file's, unflushed: what was said last is worth no wait for a disk."""
    files.replace(path, text + "\n", flush=False)


def note(layout: Layout, changes: list[Change]) -> None:
    """Add confirmed changes to the history, and cut off what is too old when it is twice as long. Raises OSError."""
    if not changes:
        return
    path = paths(layout)["history"]
    with open(path, "a") as file:
        for change in changes:
            file.write(json.dumps({"at": wall(), **as_event(change)}) + "\n")
    with open(path) as file:
        lines = file.readlines()
    if len(lines) > 2 * HISTORY_LINES:
        replace(path, "".join(lines[-HISTORY_LINES:]).rstrip("\n"))


def as_event(change: Change) -> Document:
    """Return a change as JSON."""
    result = change.result
    return {
        "check": change.check,
        "entity": result.entity,
        "label": result.label,
        "from": change.before,
        "to": change.after,
        "reason": result.reason,
        "action": result.action,
    }


def prometheus(document: Document) -> str:
    """Return the lines for node_exporter's textfile collector: no timestamps, one HELP a name."""
    score = document["score"]
    lines = [
        "# HELP muster_node_health_score How well the node is, 0 to 100; NaN while nothing can be said.",
        "# TYPE muster_node_health_score gauge",
        f"muster_node_health_score {'NaN' if score is None else score}",
        f"# HELP muster_node_check_status {', '.join(f'{number} {name}' for number, name in enumerate(STATUSES))}",
        "# TYPE muster_node_check_status gauge",
    ]
    for row in document["checks"]:
        labels = f'check="{_escaped(row["check"])}",entity="{_escaped(row["entity"])}"'
        lines.append(f"muster_node_check_status{{{labels}}} {STATUSES.index(row['status'])}")
    lines += [
        "# HELP muster_node_last_sample_boottime_seconds When the node was looked at, in seconds since its boot.",
        "# TYPE muster_node_last_sample_boottime_seconds gauge",
        f"muster_node_last_sample_boottime_seconds {document['boottime_s']}",
    ]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", " ")
