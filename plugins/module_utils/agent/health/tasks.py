# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that hang in the kernel, or are dead and never waited for (checks `proc.dstate`, `proc.zombie`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .ask import Ask
from .result import CRITICAL, OK, WARNING, Result, at_least
from .settings import Settings

SIGHTINGS = 5
"""gpud's rule: seen so often, and for so long (the threshold of the warning)."""
DRIVER = ("nvidia", "nv_", "UVM ")
NAMED = 3


def read(_settings: Settings, _doing: Callable[[str], None]) -> dict[str, Any]:
    """Return {"waiting": [{"pid", "start_ticks", "name"}], "zombies": how many}, by the first thread of each."""
    waiting = []
    zombies = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                text = file.read()
        except OSError:
            continue
        end = text.rindex(b")")
        state, *fields = text[end + 2 :].split()
        zombies += state == b"Z"
        if state == b"D":
            name = text[text.index(b"(") + 1 : end].decode(errors="replace")
            waiting.append({"pid": int(entry), "start_ticks": int(fields[18]), "name": name})
    return {"waiting": waiting, "zombies": zombies}


def dstate(facts: dict[str, Any], ask: Ask) -> list[Result]:
    """A process that waits in the kernel for minutes waits for hardware that does not answer; no signal ends it."""
    seen: dict[str, list[float]] = ask.memory.setdefault("seen", {})  # "pid.start" -> first seen, how often
    now = {f"{one['pid']}.{one['start_ticks']}": one for one in facts["waiting"]}
    for key in [key for key in seen if key not in now]:
        del seen[key]
    for key in now:
        first, often = seen.get(key, [ask.now, 0])
        seen[key] = [first, often + 1]
    long = [
        one for key, one in now.items() if seen[key][1] >= SIGHTINGS and ask.now - seen[key][0] >= (ask.warning or 0)
    ]
    if not long:
        return [Result(OK, "no process hangs in the kernel", value=0, unit="processes", threshold=ask.warning)]
    named = ", ".join(f"{one['name']} ({one['pid']})" for one in long[:NAMED])
    more = f" and {len(long) - NAMED} more" if len(long) > NAMED else ""
    status = CRITICAL if any(one["name"].startswith(DRIVER) for one in long) else WARNING
    reason = f"in the kernel, for minutes, hangs {named}{more}"
    action = "look at what it waits for (/proc/PID/stack, dmesg); only a reboot ends it"
    return [Result(status, reason, action, value=len(long), unit="processes", threshold=ask.warning)]


def zombie(facts: dict[str, Any], ask: Ask) -> list[Result]:
    value = facts["zombies"]
    status, threshold = at_least(value, ask.warning, ask.critical)
    who, whom = ("process has", "it") if value == 1 else ("processes have", "them")
    reason = f"{value} {who} ended and nobody has waited for {whom}"
    action = "" if status == OK else "find their parent (ps -eo ppid,stat), and end that"
    return [Result(status, reason, action, value=value, unit="processes", threshold=threshold)]
