# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answer of the verb `health`: the daemon's report if it is fresh, else a look of our own."""

from __future__ import annotations

import os
import signal
from typing import Any

from ..errors import USAGE, AgentError
from ..layout import Layout
from . import daemon, latest, live
from .catalogue import BY_NAME
from .model import UNKNOWN_STATE

Document = dict[str, Any]


def read(layout: Layout, source: str) -> Document:
    """Return the report, with the daemon that runs as `daemon` ({"pid", "start_ticks"} or None). `source`: daemon,
    live, or auto. What a daemon has said long ago is not handed on as the node's state. Raises AgentError."""
    runs = latest.running(layout)
    document = None if source == "live" else latest.read(layout)
    stale = _stale(document, runs is not None)
    if source == "live" or (source == "auto" and stale):
        document = live.look(layout)
    elif stale:
        document = {**(document or {}), **_nothing(stale)}
    return {**(document or {}), "daemon": runs}


def _stale(document: Document | None, runs: bool) -> str:
    """Why the monitor's report says nothing about the node as it is now; empty if it does."""
    if document is None:
        return "no monitor has looked at this node yet"
    if not document["fresh"]:
        age = "from before the last boot" if document["age_s"] is None else f"{document['age_s']:.0f} s old"
        return f"the monitor's last report is {age}"
    return "" if runs else "the monitor does not run"


def clear(layout: Layout, check: str) -> Document:
    """Tell the daemon that the faults of a check (of every one: `all`) are mended, and return its report so far. Raises
    AgentError if there is no such check, or no daemon."""
    if check != "all" and check not in BY_NAME and not check.startswith("own."):
        raise AgentError("no_such_check", f"there is no check {check!r}", f"checks: all, {', '.join(BY_NAME)}", USAGE)
    runs = latest.running(layout)
    if runs is None:
        raise AgentError("no_daemon", "no monitor runs on this node, so it keeps no faults", "muster daemon start")
    with open(daemon.clearings(layout), "a") as file:
        file.write("*\n" if check == "all" else f"{check}\n")
    os.kill(runs["pid"], signal.SIGHUP)
    return read(layout, "daemon")


def _nothing(reason: str) -> Document:
    return {
        "state": UNKNOWN_STATE,
        "score": None,
        "reason": reason,
        "action": "run monitor.yml, or `muster daemon start`",
        "source": "daemon",
        "checks": [],
        "alerts": [],
    }
