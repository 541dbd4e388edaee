# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitors that look often, and what `muster health` says of the nodes that they watch."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from muster.agent.layout import MONITOR

from tests.integration.lab.fleet import Fleet

UNIT = "muster-monitor.service"
PATIENCE_S = 90.0
KERNEL_LOG = "/var/lib/muster/kmsg"
QUICK = {
    "interval_s": 2,
    "hurry_s": 1,
    "kernel_log": KERNEL_LOG,
    "services": ["ssh.service"],
    # The nodes' disks are small, and nobody sets their clock.
    "checks": {"os.clock": {"enabled": False}, "disk.free": {"warning": 0.01, "critical": 0.001}},
}

RECORDS = "/var/lib/records"
# Every report of the monitor, one line each: when it was made, in seconds since boot; the state; the worst check.
RECORDER = f"""
import json, time
seen = None
while True:
    try:
        report = json.load(open("{MONITOR}/report.json"))
    except OSError:
        report = {{"boottime_s": seen}}
    if report["boottime_s"] != seen:
        seen = report["boottime_s"]
        worst = report["checks"][0]["check"] if report["reason"] else ""
        print(json.dumps([seen, report["state"], worst]), file=open("{RECORDS}", "a"))
    time.sleep(0.05)
"""

Document = dict[str, Any]


def health(fleet: Fleet) -> dict[str, Document]:
    """What `muster health` says, by node."""
    shown = fleet.run(sys.executable, "-m", "muster.cli", "health", "--json")
    silent = {"state": "silent", "reason": "", "checks": []}
    return {one["node"]: one["report"] or silent for one in json.loads(shown.out)}


def until(look: Callable[[], Any], what: Callable[[], Any]) -> Any:
    """What `look` gives as soon as that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)
    return seen


def verdicts(fleet: Fleet) -> dict[str, tuple[str, str]]:
    """Of each node, its state and the check that is worst."""
    reports = health(fleet)
    return {name: (one["state"], one["checks"][0]["check"] if one["reason"] else "") for name, one in reports.items()}


def polls_until(fleet: Fleet, node: str, since: float, verdict: tuple[str, str]) -> int:
    """How many reports the node's monitor wrote after `since`, in seconds since boot, up to the one that says so first.
    RECORDER runs there."""

    def said() -> list[tuple[str, str]]:
        records = [json.loads(line) for line in fleet.shell(node, f"cat {RECORDS}").splitlines()]
        return [(state, check) for at, state, check in records if at > since]

    return int(until(lambda: verdict in (found := said()) and found.index(verdict) + 1, said))


def become(
    fleet: Fleet, wanted: dict[str, tuple[str, str]], nudge: Callable[[], None] = lambda: None
) -> dict[str, Document]:
    """Wait until each node is so (state, worst check), and give what they say then. `nudge`: done before each look."""

    def now() -> dict[str, tuple[str, str]]:
        nudge()
        return {name: verdict for name, verdict in verdicts(fleet).items() if name in wanted}

    until(lambda: now() == wanted, lambda: (verdicts(fleet), wanted))
    return health(fleet)
