# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the GPUs' links carry what they are made for (checks `gpu.pcie`, `gpu.pcie_replay`, `gpu.nvlink`,
`gpu.nvlink_errors`, `gpu.fabric`)."""

from __future__ import annotations

from .ask import Ask
from .gpu_facts import Facts
from .gpu_presence import each
from .result import CRITICAL, OK, SKIPPED, WARNING, Result, Told, at_least

FABRIC_NOT_STARTED, FABRIC_IN_PROGRESS, FABRIC_COMPLETED = 1, 2, 3  # nvmlGpuFabricState_t; 0 is not supported
HOUR_S = 3600.0
MINUTE_S = 60.0


def pcie(facts: Facts, ask: Ask) -> list[Result]:
    """The generation falls back while a GPU is idle, to save power; the width does not."""

    def judge(width: int, gpu: Facts) -> Result:
        most = ask.settings.expect.pcie_width or gpu.get("pcie_width_max", width)
        generation, best = gpu.get("pcie_generation"), gpu.get("pcie_generation_max")
        told: Told = {"value": width, "unit": "lanes", "threshold": most}
        if width < most:
            reason = f"GPU {gpu['index']} is connected by {width} of {most} PCIe lanes"
            return Result(WARNING, reason, "seat the GPU or its riser anew; reboot the node", **told)
        if generation and best and generation < best and gpu.get("utilization", 0) > 0:
            reason = f"GPU {gpu['index']} works, and its PCIe link is at generation {generation} of {best}"
            return Result(WARNING, reason, "reboot the node; look at the BIOS's settings of PCIe", **told)
        return Result(OK, f"GPU {gpu['index']} is connected by all {width} PCIe lanes", **told)

    return each(facts, ask, "pcie_width", judge)


def pcie_replay(facts: Facts, ask: Ask) -> list[Result]:
    """How often in the last hour a packet had to be sent again; DCGM warns above what its model expects."""

    def judge(value: int, gpu: Facts) -> Result:
        count = _rise(ask, gpu, "replays", value)
        status, threshold = at_least(count, ask.warning, ask.critical)
        reason = f"the PCIe link of GPU {gpu['index']} has sent {count} packets again in an hour"
        action = "seat the GPU or its riser anew" if status != OK else ""
        return Result(status, reason, action, value=count, unit="an hour", threshold=threshold)

    return each(facts, ask, "pcie_replays", judge)


def nvlink(facts: Facts, ask: Ask) -> list[Result]:
    """All links that the inventory names, or that have been up since the boot, must be up: on boards without bridges
    none is, and that is no fault."""

    def judge(links: Facts, gpu: Facts) -> Result:
        up: dict[str, int] = ask.memory.setdefault("up", {})
        name = gpu.get("uuid", str(gpu["index"]))
        up[name] = max(links["active"], up.get(name, 0))
        wanted = up[name] if ask.settings.expect.nvlinks is None else ask.settings.expect.nvlinks
        told: Told = {"value": links["active"], "unit": "links", "threshold": wanted}
        if wanted == 0:
            return Result(SKIPPED, f"GPU {gpu['index']} uses no NVLink", **told)
        if links["active"] < wanted:
            down = ", ".join(str(link) for link in links["inactive"])
            reason = f"{links['active']} of {wanted} NVLinks of GPU {gpu['index']} are up (down: {down or 'unknown'})"
            return Result(
                CRITICAL, reason, "drain the node, reset its GPUs; if it comes back, have it serviced", **told
            )
        return Result(OK, f"all {links['active']} NVLinks of GPU {gpu['index']} are up", **told)

    return each(facts, ask, "nvlinks", judge)


def nvlink_errors(facts: Facts, ask: Ask) -> list[Result]:
    """DCGM fails a GPU at any replay or recovery, and warns at the first checksum error."""

    def judge(links: Facts, gpu: Facts) -> Result:
        counts = {kind: _rise(ask, gpu, kind, links[kind]) for kind in ("replay", "recovery", "crc")}
        hard = counts["replay"] + counts["recovery"]
        told: Told = {"value": sum(counts.values()), "unit": "an hour", "threshold": ask.critical}
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        reason = f"NVLink errors of GPU {gpu['index']} in an hour: {kinds or 'none'}"
        if ask.critical is not None and hard >= ask.critical:
            return Result(
                CRITICAL, reason, "drain the node, reset its GPUs; if it comes back, have it serviced", **told
            )
        if ask.warning is not None and sum(counts.values()) >= ask.warning:
            return Result(WARNING, reason, "watch it; reset the GPUs when no job runs on the node", **told)
        return Result(OK, reason, **told)

    return each(facts, ask, "nvlinks", judge)


def fabric(facts: Facts, ask: Ask) -> list[Result]:
    def judge(state: list[int], gpu: Facts) -> Result:
        if state[0] == FABRIC_COMPLETED and state[1] == 0:
            return Result(OK, f"the fabric manager has set up GPU {gpu['index']}", value=state[0])
        if state[0] not in (FABRIC_NOT_STARTED, FABRIC_IN_PROGRESS, FABRIC_COMPLETED):
            return Result(SKIPPED, f"GPU {gpu['index']} is on no fabric", value=state[0])
        how = {FABRIC_NOT_STARTED: "has not begun to set up", FABRIC_IN_PROGRESS: "is still setting up"}
        reason = f"the fabric manager {how.get(state[0], f'has failed ({state[1]}) to set up')} GPU {gpu['index']}"
        return Result(CRITICAL, reason, "restart nvidia-fabricmanager, then look at its log", value=state[0])

    return each(facts, ask, "fabric", judge)


def _rise(ask: Ask, gpu: Facts, kind: str, value: int) -> int:
    """Return by how much a counter has risen within the last hour. A counter that has become less was reset."""
    counters: dict[str, list[list[float]]] = ask.memory.setdefault("counters", {})
    points = counters.setdefault(f"{gpu.get('uuid', gpu['index'])} {kind}", [])
    if points and value < points[-1][1]:
        points.clear()
    if len(points) > 1 and ask.now - points[-1][0] < MINUTE_S:
        points[-1][1] = value
    elif not points or value != points[-1][1]:
        points.append([ask.now, value])
    while len(points) > 1 and ask.now - points[1][0] > HOUR_S:
        del points[0]
    return int(value - points[0][1])
