# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting and stopping the monitor: by systemd, where its unit is installed, and else as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from .. import processes, units
from ..errors import TIMED_OUT, USAGE, AgentError
from ..layout import Layout
from . import latest, log
from .unit import name_of

Document = dict[str, Any]

ACTIONS = ("start", "stop", "restart", "status")
STARTS_WITHIN_S = 15.0
STOPS_WITHIN_S = 10.0
LOOK_AGAIN_S = 0.05


def act(layout: Layout, action: str, dry_run: bool = False) -> Document:
    """Do one of :data:`ACTIONS`, and return how the monitor is then: docs/agent.md has the object.

    What is as it is to be is left alone. Raises AgentError if it does not come about.
    """
    if action not in ACTIONS:
        raise AgentError("usage", f"the monitor cannot {action!r}", f"actions: {', '.join(ACTIONS)}", USAGE)
    unit = name_of(layout)
    installed = os.path.isdir("/run/systemd/system") and units.known(unit)
    before = latest.running(layout)
    # Between a crash and systemd's restart nothing runs, and a stop is to hold all the same.
    stops = action in ("stop", "restart") and (before or (installed and units.active(unit)))
    starts = action == "restart" or (action == "start" and not before)
    if dry_run:
        return {**_described(layout, unit if installed else None, before), "changed": bool(stops or starts)}
    if stops:
        _by_systemd("stop", unit) if installed else _stop(before or {})
    if starts:
        _by_systemd("start", unit) if installed else _start(layout)
    after = latest.running(layout)
    return {**_described(layout, unit if installed else None, after), "changed": before != after}


def _by_systemd(verb: str, unit: str) -> None:
    said = units.command(verb, unit)
    if said:
        raise AgentError("systemd_refused", f"systemctl {verb} {unit}: {said}", f"journalctl -u {unit} says more")


def _start(layout: Layout) -> None:
    """Start it as a session of its own, and wait until it has looked at the node for the first time, or has refused."""
    os.makedirs(layout.health, mode=0o755, exist_ok=True)
    begun = latest.boottime()
    output = log.open_file(layout)
    begins_at = os.fstat(output).st_size
    null = os.open(os.devnull, os.O_RDWR)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():  # so that it is nobody's child, whoever asked for it
            os._exit(0)
        for descriptor, of in ((0, null), (1, output), (2, output)):
            os.dup2(of, descriptor)
        processes.close_all_but()
        os.chdir("/")
        command = units.agent_command(["--state-dir", layout.state_dir, "daemon"])
        try:
            os.execv(command[0], command)
        finally:
            os._exit(127)
    os.close(null)
    os.close(output)
    os.waitpid(pid, 0)
    until = time.monotonic() + STARTS_WITHIN_S
    while not (latest.running(layout) and _looked_since(layout, begun)):
        if time.monotonic() > until and latest.running(layout):
            return  # its first look takes long: a driver that wakes up, or that hangs
        said = _said(log.path(layout), begins_at)
        if time.monotonic() > until or '"error"' in said:
            told = _error_in(said.strip().rpartition("\n")[2]) or "without a word"
            raise AgentError("not_started", f"the monitor did not start: {told}", f"{log.path(layout)} says more")
        time.sleep(LOOK_AGAIN_S)


def _error_in(line: str) -> str:
    """The sentence of an agent's answer that is an error; any other line as it is."""
    try:
        error = json.loads(line)["error"]
        return f"{error['message']}: {error['hint']}"
    except (ValueError, KeyError, TypeError):
        return line[:500]


def _looked_since(layout: Layout, begun: float) -> bool:
    last = latest.read(layout)
    return last is not None and last["age_s"] is not None and last["boottime_s"] >= begun


def _said(path: str, begins_at: int) -> str:
    with open(path, errors="replace") as file:
        file.seek(begins_at)
        return file.read()


def _stop(running: Document) -> None:
    pid, ticks = running["pid"], running["start_ticks"]
    process = processes.read(pid)
    for number in (signal.SIGTERM, signal.SIGKILL):  # one that was stopped, or that hangs, obeys the second only
        if process and process.start_ticks == ticks:
            processes.send(process, number)
        if processes.wait_gone(pid, ticks, STOPS_WITHIN_S):
            break
    else:
        raise AgentError("not_stopped", f"the monitor (process {pid}) does not end", "see what it waits for", TIMED_OUT)


def _described(layout: Layout, unit: str | None, running: Document | None) -> Document:
    last = latest.read(layout) or {}
    uptime_s = None
    if running:
        uptime_s = round(latest.boottime() - running["start_ticks"] / processes.TICKS_A_SECOND, 1)
    return {
        "unit": unit,
        "enabled": units.enabled(unit) if unit else None,
        "pid": running["pid"] if running else None,
        "uptime_s": uptime_s,
        "state": last.get("state"),
        "age_s": last.get("age_s"),
        "interval_s": last.get("interval_s"),
    }
