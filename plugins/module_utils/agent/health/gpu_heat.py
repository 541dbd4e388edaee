# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the GPUs are cool, have power, and run as fast as they may (checks `gpu.temperature`, `gpu.memory_
temperature`, `gpu.throttle`, `gpu.power`)."""

from __future__ import annotations

from .ask import Ask
from .gpu_facts import Facts
from .gpu_presence import each
from .result import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Result, Told, at_least

HW_SLOWDOWN, HW_THERMAL, HW_POWER_BRAKE = 0x08, 0x40, 0x80  # nvmlClocksEventReason*
SLOWED = {HW_POWER_BRAKE: "its power supply", HW_THERMAL: "its heat", HW_SLOWDOWN: "its hardware"}
WINDOW_S = 600
MINUTE_S = 60
COOL = "look at the fans, the filters and the temperature of the room"


def temperature(facts: Facts, ask: Ask) -> list[Result]:
    """The thresholds are distances in degrees Celsius: of the warning from where the GPU slows itself down, of the
    failure from where it switches itself off. Both come from the GPU."""

    def judge(value: int, gpu: Facts) -> Result:
        slowdown, shutdown = gpu.get("temperature_slowdown"), gpu.get("temperature_shutdown")
        if slowdown is None and shutdown is None:
            return Result(SKIPPED, f"GPU {gpu['index']} has {value} degrees, and does not tell how many it bears")
        warning = None if slowdown is None or ask.warning is None else slowdown - ask.warning
        critical = None if shutdown is None or ask.critical is None else shutdown - ask.critical
        status, threshold = at_least(value, warning, critical)
        reason = f"GPU {gpu['index']} has {value} degrees"
        reason += {OK: "", WARNING: f" and slows down at {slowdown}", CRITICAL: f" and switches off at {shutdown}"}[
            status
        ]
        return Result(status, reason, COOL if status != OK else "", value=value, unit="C", threshold=threshold)

    return each(facts, ask, "temperature", judge)


def memory_temperature(facts: Facts, ask: Ask) -> list[Result]:
    """The thresholds are distances in degrees Celsius from the most that the memory is made for."""

    def judge(value: int, gpu: Facts) -> Result:
        most = gpu.get("temperature_memory_max")
        if most is None:
            return Result(OK, f"the memory of GPU {gpu['index']} has {value} degrees", value=value, unit="C")
        warning, critical = (None if one is None else most - one for one in (ask.warning, ask.critical))
        status, threshold = at_least(value, warning, critical)
        reason = f"the memory of GPU {gpu['index']} has {value} degrees, and is made for {most}"
        return Result(status, reason, COOL if status != OK else "", value=value, unit="C", threshold=threshold)

    return each(facts, ask, "temperature_memory", judge)


def throttle(facts: Facts, ask: Ask) -> list[Result]:
    """In how many of the last ten minutes the hardware held a GPU back (gpud fails one at 6). What the power limit does
    in software is no fault."""
    seen: dict[str, dict[str, int]] = ask.memory.setdefault("minutes", {})  # uuid -> minute -> the reasons' bits

    def judge(value: int, gpu: Facts) -> Result:
        minutes = seen.setdefault(gpu.get("uuid", str(gpu["index"])), {})
        for minute in [one for one in minutes if ask.now - int(one) * MINUTE_S > WINDOW_S]:
            del minutes[minute]
        bits = value & (HW_SLOWDOWN | HW_THERMAL | HW_POWER_BRAKE)
        if bits:
            now = str(int(ask.now // MINUTE_S))
            minutes[now] = minutes.get(now, 0) | bits
        status, threshold = at_least(len(minutes), ask.warning, ask.critical)
        told: Told = {"value": len(minutes), "unit": "of the last 10 minutes", "threshold": threshold}
        if not minutes:
            return Result(status, f"GPU {gpu['index']} is not held back", **told)
        union = 0
        for one in minutes.values():
            union |= one
        cause = next(text for bit, text in SLOWED.items() if union & bit)
        reason = f"GPU {gpu['index']} was held back by {cause} in {len(minutes)} of the last 10 minutes"
        action = "look at its power supply and cables" if union & HW_POWER_BRAKE else COOL
        return Result(status, reason, action if status != OK else "", **told)

    return each(facts, ask, "throttle", judge)


def power(facts: Facts, ask: Ask) -> list[Result]:
    """DCGM warns where the power cannot be read of a GPU that tells its limit."""

    def judge(limit: float, gpu: Facts) -> Result:
        if "power" not in gpu:
            reason = f"GPU {gpu['index']} does not tell its power, though it has a limit of {limit:.0f} W"
            return Result(UNKNOWN, reason, "look at nvidia-smi on this node")
        reason = f"GPU {gpu['index']} takes {gpu['power']:.0f} of {limit:.0f} W"
        return Result(OK, reason, value=round(gpu["power"], 1), unit="W", threshold=limit)

    return each(facts, ask, "power_limit", judge)
