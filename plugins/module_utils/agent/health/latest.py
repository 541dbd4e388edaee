# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the monitor has said last: the files that it writes, for those who only read them.

monitor/report.json    the last verdict with all results; replaced as a whole
monitor/memory.json    what is confirmed and latched, and what checks remember
monitor/daemon.pid     who it is
health/history.jsonl   one line a confirmed change, over reboots
health/alerts.json     the book of alerts, over reboots
"""

from __future__ import annotations

import os
import time
from typing import Any

from .. import processes, record
from ..layout import Layout

Document = dict[str, Any]

STALE_INTERVALS = 3
STALE_SLACK_S = 30.0


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


def pid_file(layout: Layout) -> str:
    """The file that holds `{"pid", "start_ticks"}` of the daemon, locked as long as it runs."""
    return os.path.join(layout.monitor, "daemon.pid")


def running(layout: Layout) -> Document | None:
    """Return {"pid", "start_ticks"} of the daemon that runs; None if none does."""
    found = record.read_json(pid_file(layout))
    return found if found and processes.lives(found["pid"], found["start_ticks"]) else None
