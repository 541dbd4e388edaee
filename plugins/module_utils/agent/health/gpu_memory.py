# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the GPUs' memory cells hold what is written to them (checks `gpu.ecc.*`, `gpu.sram`, `gpu.remap.*`,
`gpu.pages`)."""

from __future__ import annotations

from .ask import Ask
from .gpu_facts import Facts
from .gpu_presence import each
from .result import CRITICAL, OK, WARNING, Result, Told, at_least

RESET = "drain the node, reset the GPU (nvidia-smi --gpu-reset); if it comes back, have the GPU replaced"
REPLACE = "have the GPU replaced"


def ecc_uncorrected(facts: Facts, ask: Ask) -> list[Result]:
    """gcm, DCGM and imbue fail a GPU at the first one. The counter is of the time since the driver was loaded or the
    GPU was reset: where it has become less, that has happened."""
    before: dict[str, int] = ask.memory.setdefault("before", {})

    def judge(value: int, gpu: Facts) -> Result:
        status, threshold = at_least(value, ask.warning, ask.critical)
        known = gpu.get("uuid", str(gpu["index"]))
        mended = value < before.get(known, value)
        before[known] = value
        reason = f"GPU {gpu['index']} has had {value} memory errors that it could not correct"
        told: Told = {"value": value, "unit": "errors", "threshold": threshold, "mended": mended}
        return Result(status, reason, RESET if status != OK else "", **told)

    return each(facts, ask, "ecc_uncorrected", judge)


def ecc_corrected(facts: Facts, ask: Ask) -> list[Result]:
    """gcm warns of 50 million."""

    def judge(value: int, gpu: Facts) -> Result:
        status, threshold = at_least(value, ask.warning, ask.critical)
        reason = f"GPU {gpu['index']} has corrected {value} memory errors"
        action = "watch it: GPUs often fail later that do so" if status != OK else ""
        return Result(status, reason, action, value=value, unit="errors", threshold=threshold)

    return each(facts, ask, "ecc_corrected", judge)


def sram(facts: Facts, ask: Ask) -> list[Result]:
    def judge(exceeded: bool, gpu: Facts) -> Result:
        if exceeded:
            reason = f"GPU {gpu['index']} has had more errors in its caches than NVIDIA allows"
            return Result(CRITICAL, reason, REPLACE, value=True)
        return Result(OK, f"the caches of GPU {gpu['index']} are below NVIDIA's limit of errors", value=False)

    return each(facts, ask, "sram_exceeded", judge)


def remap_pending(facts: Facts, ask: Ask) -> list[Result]:
    """NVIDIA: a remapping that waits for a reset does not affect later work. gcm and gpud fail such a GPU."""

    def judge(remap: list[int], gpu: Facts) -> Result:
        if remap[2]:
            reason = f"GPU {gpu['index']} has a faulty row of memory that the next reset replaces"
            return Result(WARNING, reason, "reset the GPU when no job runs on the node", value=True)
        return Result(OK, f"no row of memory of GPU {gpu['index']} waits for a reset", value=False)

    return each(facts, ask, "remap", judge)


def remap_failure(facts: Facts, ask: Ask) -> list[Result]:
    def judge(remap: list[int], gpu: Facts) -> Result:
        if remap[3]:
            reason = f"GPU {gpu['index']} has a faulty row of memory and none left to replace it"
            return Result(CRITICAL, reason, REPLACE, value=True)
        return Result(OK, f"no replacement of a row of memory of GPU {gpu['index']} has failed", value=False)

    return each(facts, ask, "remap", judge)


def remap_count(facts: Facts, ask: Ask) -> list[Result]:
    """DCGM warns at 512 rows that were remapped after errors that could not be corrected."""

    def judge(remap: list[int], gpu: Facts) -> Result:
        status, threshold = at_least(remap[1], ask.warning, ask.critical)
        reason = f"GPU {gpu['index']} has replaced {remap[1]} faulty rows of memory"
        action = "plan for its replacement" if status != OK else ""
        return Result(status, reason, action, value=remap[1], unit="rows", threshold=threshold)

    return each(facts, ask, "remap", judge)


def pages(facts: Facts, ask: Ask) -> list[Result]:
    """GPUs before Ampere retire pages instead. DCGM fails one at 63."""

    def judge(double: int, gpu: Facts) -> Result:
        count = double + gpu.get("retired_sbe", 0)
        status, threshold = at_least(count, ask.warning, ask.critical)
        told: Told = {"value": count, "unit": "pages", "threshold": threshold}
        if status == OK and gpu.get("retired_pending"):
            reason = f"GPU {gpu['index']} has a page of memory that the next reset retires"
            return Result(WARNING, reason, "reset the GPU when no job runs on the node", **told)
        reason = f"GPU {gpu['index']} has retired {count} pages of memory"
        return Result(status, reason, REPLACE if status != OK else "", **told)

    return each(facts, ask, "retired_dbe", judge)
