# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory, the clock and services of the node (checks `os.*`)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

from .. import units
from .ask import Ask
from .result import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Result, Told, below
from .settings import Settings

KIB_A_MIB = 1024
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
TIMEX_BYTES = 256  # struct timex is smaller everywhere; all zeros ask, and change nothing


def read(settings: Settings, doing: Callable[[str], None]) -> dict[str, Any]:
    """Return {"available_mib", "synchronized", "services": {name: what systemd says, None without}}."""
    doing("memory")
    facts: dict[str, Any] = {"available_mib": _available_mib(), "services": {}}
    doing("clock")
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    facts["synchronized"] = None if answer < 0 else answer != TIME_ERROR
    for name in settings.services:
        doing(name)
        facts["services"][name] = units.state(name) if os.path.isdir("/run/systemd/system") else None
    return facts


def _available_mib() -> int | None:
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // KIB_A_MIB
    return None


def memory(facts: dict[str, Any], ask: Ask) -> list[Result]:
    value = facts["available_mib"]
    if value is None:
        return [Result(UNKNOWN, "the kernel does not tell how much memory is available")]
    status, threshold = below(value, ask.warning, ask.critical)
    action = "" if status == OK else "see what takes it (ps aux --sort -rss), and end that"
    return [
        Result(status, f"{value} MiB of memory are available", action, value=value, unit="MiB", threshold=threshold)
    ]


def clock(facts: dict[str, Any], _ask: Ask) -> list[Result]:
    """How far it is off is told by who compares it with others: `health.yml` does."""
    if facts["synchronized"] is None:
        return [Result(UNKNOWN, "the kernel does not tell whether the clock is synchronized")]
    if facts["synchronized"]:
        return [Result(OK, "the clock is synchronized", value=True)]
    return [Result(WARNING, "the clock is not synchronized", "install and start chrony", value=False)]


def services(facts: dict[str, Any], _ask: Ask) -> list[Result]:
    if not facts["services"]:
        return [Result(SKIPPED, "no services are named")]
    found = []
    for name, state in facts["services"].items():
        told: Told = {"entity": name, "label": name, "value": state}
        if state == "active":
            found.append(Result(OK, f"the service {name} runs", **told))
        elif state is None:
            found.append(Result(UNKNOWN, f"the service {name} is asked for, and systemd does not run here", **told))
        else:
            reason = f"the service {name} is {state or 'unknown'}"
            found.append(Result(CRITICAL, reason, f"systemctl restart {name}; journalctl -u {name}", **told))
    return found
