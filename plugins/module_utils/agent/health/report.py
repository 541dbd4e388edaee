# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the daemon leaves for others to read, and what it needs itself when it is started again.

    monitor/report.json    the last verdict with all results; replaced as a whole
    monitor/memory.json    what is confirmed and latched, and what checks remember
    health/history.jsonl   one line a confirmed change; the newest HISTORY_LINES at least
    health/alerts.json     the book of alerts

The first two are about one boot, and lie in memory where they can; so nothing is flushed to disk for them.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from .. import processes, record
from ..clock import now as wall
from ..layout import Layout
from ..version import PROTOCOL, version
from .result import STATUSES
from .watch import Change, Watch, report_of

Document = dict[str, Any]

HISTORY_LINES = 1000
STALE_INTERVALS = 3
STALE_SLACK_S = 30.0
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


def boottime() -> float:
    """Return seconds since boot, time in sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def paths(layout: Layout) -> dict[str, str]:
    """Return the files by name: report, memory, history, alerts."""
    return {
        "report": os.path.join(layout.monitor, "report.json"),
        "memory": os.path.join(layout.monitor, "memory.json"),
        "history": os.path.join(layout.health, "history.jsonl"),
        "alerts": os.path.join(layout.health, "alerts.json"),
    }


def make(watch: Watch, facts: Document, now: float, *, source: str, interval_s: float | None = None) -> Document:
    """Return the report: docs/agent.md has its shape. `facts`: the last of each sampler. `now`: seconds since boot."""
    verdict = watch.verdict()
    worst = report_of(watch, now)
    first = worst[0] if verdict.worst else None
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
        "checks": worst,
        "gpus": [{key: gpu[key] for key in GPU_KEYS if key in gpu} for gpu in gpus],
    }


def publish(layout: Layout, document: Document, watch: Watch, stuck: list[Any]) -> None:
    """Write report and memory. Raises OSError."""
    found = paths(layout)
    replace(found["report"], json.dumps(document))
    replace(found["memory"], json.dumps({**watch.to_document(), "stuck": stuck}))
    if watch.settings.prometheus:
        replace(os.path.join(watch.settings.prometheus, "muster.prom"), prometheus(document))


def replace(path: str, text: str) -> None:
    """Put the text in the place of the file's: seen as a whole or not at all. Raises OSError."""
    temporary = f"{path}.new"
    with open(temporary, "w") as file:
        file.write(text + "\n")
    os.replace(temporary, path)


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


def read(layout: Layout) -> Document | None:
    """Return the daemon's last report with `age_s` and `fresh`; None if there is none. Both are found on the node's own
    clock: a report from before the last boot is never fresh, whatever the time was set to since."""
    document = record.read_json(paths(layout)["report"])
    if document is None:
        return None
    same = document.get("boot_id") == processes.boot_id()
    age = boottime() - document["boottime_s"] if same else None
    limit = STALE_INTERVALS * (document.get("interval_s") or 0.0) + STALE_SLACK_S
    return {**document, "age_s": age and round(age, 3), "fresh": age is not None and age <= limit}


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
