# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of all samplers and checks. To add a check: one function in the file of its family, and one row here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import (
    disks,
    gpu_facts,
    gpu_heat,
    gpu_links,
    gpu_memory,
    gpu_presence,
    links,
    network,
    own,
    system,
    tasks,
    torch_ready,
    xid,
)
from .ask import Ask
from .model import Policy
from .result import CRITICAL, UNKNOWN, Result
from .settings import Settings

HOUR_S = 3600.0


class Sampler(NamedTuple):
    """How facts are gathered: `read(settings, doing)`, in a process of its own that is given `deadline_s` (a new one
    `first_deadline_s`), and that stays for the next time if `stays`. `every_s`: not more often, while all is well.
    `title` begins the sentence that says that there is no answer."""

    title: str
    read: Callable[[Settings, Callable[[str], None]], Any]
    deadline_s: float = 5.0
    first_deadline_s: float = 5.0
    stays: bool = False
    every_s: float = 0.0


class Check(NamedTuple):
    """`warning` and `critical` are its usual thresholds, in `unit`: `judge` knows what they mean. `silence`: what it
    means if its sampler gives no answer, and what to do about that. `forget`: takes a mended fault of an entity out of
    its memory."""

    name: str
    sampler: str
    judge: Callable[[Any, Ask], list[Result]]
    policy: Policy = Policy()
    warning: float | None = None
    critical: float | None = None
    unit: str = ""
    forget: Callable[[dict[str, Any], str], None] = lambda memory, entity: memory.clear()
    silence: tuple[str, str] = (UNKNOWN, "see what hangs: dmesg, and /proc/PID/stack of processes in state D")


SAMPLERS = {
    # Without persistence mode the first call wakes the GPUs up: some 20 s for eight.
    "nvml": Sampler("NVML", gpu_facts.read, deadline_s=10, first_deadline_s=30, stays=True),
    "kernel": Sampler("the kernel's log", xid.read),
    "disks": Sampler("a file system", disks.read),
    "network": Sampler("the network", network.read, deadline_s=60, first_deadline_s=60),
    "links": Sampler("a link", links.read),
    "tasks": Sampler("/proc", tasks.read, every_s=60),
    "system": Sampler("the system", system.read, deadline_s=10, first_deadline_s=10),
    "torch": Sampler("PyTorch", torch_ready.read, deadline_s=120, first_deadline_s=120, every_s=6 * HOUR_S),
    "own": Sampler("your own checks", own.read, deadline_s=300, first_deadline_s=300, every_s=60),
}

VITAL = Policy(weight=5, vital=True)
LATCHED = VITAL._replace(latch=True)
MAJOR = Policy(weight=2)

CHECKS = (
    Check("gpu.driver", "nvml", gpu_presence.driver, VITAL),
    Check(
        "gpu.responsive",
        "nvml",
        gpu_presence.responsive,
        VITAL._replace(fail_after=2, recover_after=1),
        silence=(CRITICAL, "drain the node and reboot it"),
    ),
    Check("gpu.version", "nvml", gpu_presence.version),
    Check("gpu.count", "nvml", gpu_presence.count, VITAL),
    Check("gpu.lost", "nvml", gpu_presence.lost, LATCHED),
    Check("gpu.recovery_action", "nvml", gpu_presence.recovery_action, VITAL),
    Check("gpu.ecc.uncorrected", "nvml", gpu_memory.ecc_uncorrected, LATCHED, None, 1, "errors"),
    Check("gpu.ecc.corrected", "nvml", gpu_memory.ecc_corrected, Policy(), 50e6, None, "errors"),
    Check("gpu.sram", "nvml", gpu_memory.sram, LATCHED),
    Check("gpu.remap.pending", "nvml", gpu_memory.remap_pending),
    Check("gpu.remap.failure", "nvml", gpu_memory.remap_failure, LATCHED),
    Check("gpu.remap.count", "nvml", gpu_memory.remap_count, Policy(), 512, None, "rows"),
    Check("gpu.pages", "nvml", gpu_memory.pages, VITAL, 15, 63, "pages"),
    Check("gpu.xid", "kernel", xid.xid, LATCHED, forget=xid.forget),
    Check("gpu.temperature", "nvml", gpu_heat.temperature, VITAL, 5, 3, "C"),
    Check("gpu.memory_temperature", "nvml", gpu_heat.memory_temperature, MAJOR, 0, None, "C"),
    Check("gpu.throttle", "nvml", gpu_heat.throttle, MAJOR, 6, None, "minutes"),
    Check("gpu.power", "nvml", gpu_heat.power),
    Check("gpu.pcie", "nvml", gpu_links.pcie, MAJOR),
    Check("gpu.pcie_replay", "nvml", gpu_links.pcie_replay, Policy(), 100, None, "an hour"),
    Check("gpu.nvlink", "nvml", gpu_links.nvlink, VITAL),
    Check("gpu.nvlink_errors", "nvml", gpu_links.nvlink_errors, MAJOR, 1, 1, "an hour"),
    Check("gpu.fabric", "nvml", gpu_links.fabric, VITAL),
    Check("gpu.modes", "nvml", gpu_presence.modes),
    Check("gpu.idle", "nvml", gpu_presence.idle),
    Check("torch.ready", "torch", torch_ready.ready, VITAL._replace(fail_after=2, recover_after=1)),
    Check("disk.free", "disks", disks.free, VITAL, 10, 1, "GB"),
    Check("disk.inodes", "disks", disks.inodes, MAJOR, 5, 1, "%"),
    Check("disk.writable", "disks", disks.writable, VITAL),
    Check("net.latency", "network", network.latency, MAJOR, 100, 1000, "ms"),
    Check("net.link", "links", links.link, VITAL, 5, None, "a day"),
    Check("proc.dstate", "tasks", tasks.dstate, Policy(weight=2, vital=True, fail_after=1), 240, None, "s"),
    Check("proc.zombie", "tasks", tasks.zombie, Policy(), 1000, 2000, "processes"),
    Check("os.memory", "system", system.memory, MAJOR, 500, 100, "MiB"),
    Check("os.clock", "system", system.clock),
    Check("os.services", "system", system.services, Policy(weight=2, vital=True)),
    Check("own", "own", own.own, MAJOR),
)

BY_NAME = {check.name: check for check in CHECKS}


def check_of(name: str) -> Check:
    """Return the row of a check; those of the user are named `own.FILE`."""
    return BY_NAME.get(name) or BY_NAME["own"]
