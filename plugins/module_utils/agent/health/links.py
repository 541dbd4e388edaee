# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the node's network links are up, and as fast as they are to be (check `net.link`), by what /sys says."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .ask import Ask
from .result import CRITICAL, OK, SKIPPED, UNKNOWN, Result, at_least
from .settings import Settings

SYS = "/sys/class"
DAY_S = 86400.0
KEPT = 20
"""How many times at which a link went down are remembered."""


def read(settings: Settings, doing: Callable[[str], None]) -> dict[str, Any]:
    """Return {"links": {device: {"up", "state", "gbps", "downs"}}} of the devices that the inventory names; `downs`
    counts how often the link went down since the boot, where the kernel counts that."""
    return {"links": {device: _link(device, doing) for device in settings.links}}


def _link(device: str, doing: Callable[[str], None]) -> dict[str, Any]:
    doing(device)
    infiniband = os.path.join(SYS, "infiniband", device, "ports")
    try:
        if os.path.isdir(infiniband):
            port = os.path.join(infiniband, min(os.listdir(infiniband)))
            state = _word(os.path.join(port, "state"))  # "4: ACTIVE"
            downs = _word(os.path.join(port, "counters", "link_downed"), "0")
            rate = _word(os.path.join(port, "rate"), "0")  # "200 Gb/sec (4X HDR)"
            name = state.partition(":")[2].strip() or state
            return {"up": name == "ACTIVE", "state": name, "gbps": float(rate.split()[0]), "downs": int(downs)}
        net = os.path.join(SYS, "net", device)
        state = _word(os.path.join(net, "operstate"))
        try:
            megabits = int(_word(os.path.join(net, "speed"), "-1"))
        except OSError:  # a link that is down, or has no speed (a bridge), answers with EINVAL
            megabits = -1
        downs = _word(os.path.join(net, "carrier_down_count"), "0")
        carrier = _word(os.path.join(net, "carrier"), "0") if state != "down" else "0"
        up = state == "up" or (state == "unknown" and carrier == "1")
        return {"up": up, "state": state, "gbps": megabits / 1000 if megabits > 0 else None, "downs": int(downs)}
    except OSError as error:
        return {"error": error.strerror or str(error)}


def _word(path: str, otherwise: str | None = None) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except FileNotFoundError:
        if otherwise is None:
            raise
        return otherwise


def link(facts: dict[str, Any], ask: Ask) -> list[Result]:
    """A link must be up, and as fast as the inventory says. Azure fails one that went down 5 times in a day."""
    if not facts["links"]:
        return [Result(SKIPPED, "no links are named")]
    return [_judged(device, one, ask)._replace(entity=device, label=device) for device, one in facts["links"].items()]


def _judged(device: str, one: dict[str, Any], ask: Ask) -> Result:
    if "error" in one:
        return Result(
            UNKNOWN, f"there is nothing to learn of {device}: {one['error']}", "correct its name, or look for it"
        )
    if not one["up"]:
        return Result(
            CRITICAL, f"the link {device} is {one['state']}", "look at its cable and switch", value=one["state"]
        )
    wanted = ask.settings.links[device]
    if wanted and one["gbps"] is None:
        return Result(UNKNOWN, f"the link {device} does not tell how fast it is", "look at it with ethtool or ibstat")
    if wanted and one["gbps"] is not None and one["gbps"] < wanted:
        reason = f"the link {device} runs at {one['gbps']:g} of {wanted:g} Gb/s"
        action = "look at its cable and switch"
        return Result(CRITICAL, reason, action, value=one["gbps"], unit="Gb/s", threshold=wanted)
    points: list[list[float]] = ask.memory.setdefault(device, [])
    if not points or points[-1][1] != one["downs"]:
        points.append([ask.now, one["downs"]])
    while len(points) > 1 and (ask.now - points[1][0] > DAY_S or len(points) > KEPT):
        del points[0]
    downs = one["downs"] - points[0][1]
    status, threshold = at_least(downs, ask.warning, ask.critical)
    if status != OK:
        reason = f"the link {device} went down {downs:g} times in a day"
        return Result(status, reason, "look at its cable and switch", value=downs, unit="a day", threshold=threshold)
    speed = f" at {one['gbps']:g} Gb/s" if one["gbps"] else ""
    return Result(OK, f"the link {device} is up{speed}", value=one["gbps"], unit="Gb/s", threshold=wanted or None)
