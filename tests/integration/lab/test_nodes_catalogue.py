# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of the catalogue on a real node: its fault is brought about, seen with what to do, and goes by the rules.

What a GPU has is set in the fake NVML. Everything else is broken as it breaks: services, mounts, links, processes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from muster.agent.health.catalogue import BY_NAME

from tests.cache import cached
from tests.fakenvml import FakeNvml
from tests.integration.lab.fleet import Fleet
from tests.integration.lab.watching import QUICK, RECORDER, RECORDS, UNIT, become, health, polls_until, until, verdicts
from tests.lab import faults
from tests.lab.pytorch import PYTHON

KERNEL_LOG = QUICK["kernel_log"]
SMALL = "/srv/small"
SYSFS = "/srv/sysfs"
SPARE = "spare0"
OWN = "/etc/muster/checks.d/ours"
SERVICE = "needed.service"
TRAINING_PYTHON = "/usr/local/bin/training-python"
# All nodes share this machine's clock, which is nobody's to break. So it is the answer of adjtimex(2) that is set.
CLOCK = f"""
#include <sys/timex.h>
#include <unistd.h>
int adjtimex(struct timex *state) {{ (void)state; return access("{SMALL}/adrift", F_OK) ? TIME_OK : TIME_ERROR; }}
"""
CLOCK_LIBRARY = "/opt/libclock.so"
PRELOAD = "/etc/ld.so.preload"
CHECKS = {
    **QUICK["checks"],
    # What takes minutes by itself, in fewer of them.
    "gpu.throttle": {"warning": 1},
    "proc.dstate": {"warning": 0},
    "proc.zombie": {"warning": 3, "critical": 6},
    "os.clock": {"enabled": True},
}
SETTINGS = {
    **QUICK,
    "calm_s": 2,
    "checks": CHECKS,
    "expect": {"gpus": 2, "driver": "570.124.06", "persistence": True},
    "disks": [SMALL],
    "links": {SPARE: None},
    "services": ["ssh.service", SERVICE],
}
PREPARE = f"""
set -e
mkdir -p {SMALL} $(dirname {OWN})
mount -t tmpfs -o size=32m,nr_inodes=100 small {SMALL}
ip link add {SPARE} type veth peer name peer0
ip link set {SPARE} up
ip link set peer0 up
# A node sees the sysfs of the machine below it: here is what it has of network devices itself.
mkdir -p {SYSFS}
mount -t sysfs sysfs {SYSFS}
for path in class/net devices/virtual/net; do mount --bind {SYSFS}/$path /sys/$path; done
systemd-run --quiet --unit={SERVICE} sleep infinity
printf '#!/bin/sh\\necho "the pump stands still"\\nexit $(cat {SMALL}/pump)\\n' > {OWN}
chmod 755 {OWN}
echo 0 > {SMALL}/pump
echo {CLOCK_LIBRARY} > {PRELOAD}
systemd-run --quiet --unit=records python3 -c '{RECORDER}'
"""
TIDY = f"""
systemctl stop {SERVICE} hangs.service leaves.service records.service
umount /sys/class/net /sys/devices/virtual/net {SYSFS} /proc/meminfo {SMALL}
ip link del {SPARE}
rm -f {TRAINING_PYTHON} {RECORDS} {PRELOAD} {CLOCK_LIBRARY}
"""
# A process that has called vfork waits for its child in state D.
HANGS = "import ctypes, os, time; ctypes.CDLL(None).vfork() or time.sleep(600); os._exit(0)"
LEAVES = "import os, time; [os.fork() or os._exit(0) for _one in range(8)]; time.sleep(600)"


class Node(NamedTuple):
    """A node on which something is to break."""

    fleet: Fleet
    name: str
    gpus: FakeNvml
    peer: str
    """The address of the node whose answer it waits for."""

    def shell(self, script: str) -> str:
        return self.fleet.shell(self.name, script)


Act = Callable[[Node], Any]


class Fault(NamedTuple):
    """`check` finds it; the node is `state` then. `cleared`: it stays until an operator says that it is mended.
    `seldom`: its sampler asks once a minute or less, unless somebody says now. `slow`: it answers only after several
    polls, or has to see the fault for a while."""

    check: str
    state: str
    reason: str
    action: str
    inject: Act
    mend: Act
    cleared: bool = False
    seldom: bool = False
    slow: bool = False


def _log_xid(node: Node) -> None:
    node.shell(f"echo '3,1,'$(cut -d. -f1 /proc/uptime)'000000,-;NVRM: Xid (PCI:0000:07:00): 79, gone' >> {KERNEL_LOG}")


def _nothing(_node: Node) -> None:
    """A log is not unwritten."""


def gpu(check: str, state: str, reason: str, action: str, key: str, value: object, **other: Any) -> Fault:
    """A fault of GPU 1 that is a setting of the fake NVML. `mend=_nothing`: a counter that has risen stays."""
    return Fault(
        check,
        state,
        reason,
        action,
        lambda node: node.gpus.set(key, value, gpu=1),
        **{"mend": lambda node: node.gpus.clear(key, gpu=1), **other},
    )


def shell(check: str, state: str, reason: str, action: str, inject: str, mend: str, **other: Any) -> Fault:
    """A fault that a script makes on the node, and one takes away."""
    return Fault(check, state, reason, action, lambda node: node.shell(inject), lambda node: node.shell(mend), **other)


WELL, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
FAULTS = [
    Fault(
        "gpu.driver",
        UNHEALTHY,
        "NVML does not start: DRIVER_NOT_LOADED",
        "reload the driver",
        lambda node: node.gpus.set("fault.nvmlDeviceGetCount", "error:DRIVER_NOT_LOADED"),
        lambda node: node.gpus.clear("fault.nvmlDeviceGetCount"),
    ),
    gpu("gpu.responsive", UNHEALTHY, "", "reboot", "fault.nvmlDeviceGetTemperature", "hang"),
    Fault(
        "gpu.version",
        DEGRADED,
        "the driver is 470.1, and 570.124.06 is expected",
        "install the same driver",
        lambda node: node.gpus.set("driver_version", "470.1"),
        lambda node: node.gpus.clear("driver_version"),
    ),
    gpu("gpu.count", UNHEALTHY, "1 of 2 GPUs are there", "reboot the node", "present", 0),
    gpu("gpu.lost", UNHEALTHY, "GPU 1 has fallen off the bus", "reboot the node", "fault", "lost", cleared=True),
    gpu("gpu.recovery_action", UNHEALTHY, "asks for a reset of the GPU for GPU 1", "reset", "recovery_action", 1),
    # Its counter begins anew when the GPU is reset, which ends the fault.
    gpu("gpu.ecc.uncorrected", UNHEALTHY, "GPU 1 has had 2 memory errors", "reset", "ecc.uncorrected.volatile", 2),
    gpu("gpu.ecc.corrected", DEGRADED, "has corrected 60000000", "watch it", "ecc.corrected.volatile", 60_000_000),
    gpu("gpu.sram", UNHEALTHY, "in its caches", "replaced", "sram.threshold_exceeded", 1, cleared=True),
    gpu("gpu.remap.pending", DEGRADED, "that the next reset replaces", "reset the GPU", "remap.pending", 1),
    gpu("gpu.remap.failure", UNHEALTHY, "none left to replace it", "replaced", "remap.failure", 1, cleared=True),
    gpu("gpu.remap.count", DEGRADED, "has replaced 512 faulty rows", "plan", "remap.uncorrectable", 512),
    gpu("gpu.pages", UNHEALTHY, "has retired 63 pages", "replaced", "retired_dbe", 63),
    Fault("gpu.xid", UNHEALTHY, "GPU at 0000:07:00: XID 79: gone", "reboot", _log_xid, _nothing, cleared=True),
    gpu("gpu.temperature", UNHEALTHY, "GPU 1 has 94 degrees", "fans", "temperature", 94),
    gpu("gpu.memory_temperature", DEGRADED, "has 96 degrees", "fans", "temperature_memory", 96),
    gpu(
        *("gpu.throttle", DEGRADED, "GPU 1 was held back by its heat in", "fans"),
        *("throttle", "hw_thermal_slowdown"),
        cleared=True,
    ),
    gpu("gpu.power", DEGRADED, "GPU 1 does not tell its power", "nvidia-smi", "power", "N/A"),
    gpu("gpu.pcie", DEGRADED, "GPU 1 is connected by 8 of 16", "riser", "pcie_width", 8),
    gpu(
        "gpu.pcie_replay",
        DEGRADED,
        "has sent 500 packets again",
        "riser",
        "pcie_replays",
        500,
        mend=_nothing,
        cleared=True,
    ),
    gpu("gpu.nvlink", UNHEALTHY, "17 of 18 NVLinks of GPU 1 are up (down: 3)", "reset", "nvlink.3.state", 0),
    gpu("gpu.nvlink_errors", DEGRADED, "4 replay", "reset", "nvlink.3.replay", 4, mend=_nothing, cleared=True),
    gpu("gpu.fabric", UNHEALTHY, "has not begun to set up GPU 1", "nvidia-fabricmanager", "fabric_state", 1),
    gpu("gpu.modes", DEGRADED, "GPU 1: persistence is False and not True", "nvidia-smi", "persistence", 0),
    gpu("gpu.idle", DEGRADED, "GPU 1 is used by process 1", "end it", "processes", "1:C:64MiB"),
    shell(
        *("disk.free", UNHEALTHY, f"are free below {SMALL}", "make room"),
        *(f"fallocate -l 31900k {SMALL}/fill", f"rm {SMALL}/fill"),
    ),
    shell(
        *("disk.inodes", DEGRADED, f"of the inodes are free below {SMALL}", "remove files"),
        *(f"cd {SMALL}; touch $(seq 200) 2>/dev/null", f"cd {SMALL}; rm -f [0-9]*"),
    ),
    shell(
        *("disk.writable", UNHEALTHY, f"{SMALL} is on a file system that is mounted read-only", "dmesg"),
        *(f"mount -o remount,ro {SMALL}", f"mount -o remount,rw {SMALL}"),
    ),
    shell(
        *("os.clock", DEGRADED, "the clock is not synchronized", "chrony"),
        *(f"touch {SMALL}/adrift", f"rm {SMALL}/adrift"),
    ),
    Fault(
        "net.latency",
        DEGRADED,
        "of 5 connections to",
        "firewall",
        lambda node: faults.inject("part", node.fleet.lab[node.name], node.peer),
        lambda node: faults.heal(node.fleet.lab[node.name]),
        slow=True,
    ),
    shell(
        *("net.link", UNHEALTHY, f"the link {SPARE} is down", "cable"),
        *(f"ip link set {SPARE} down", f"ip link set {SPARE} up"),
    ),
    shell(
        *("proc.dstate", DEGRADED, "in the kernel, for minutes, hangs python3", "only a reboot ends it"),
        *(f'systemd-run --quiet --unit=hangs python3 -c "{HANGS}"', "systemctl kill -s KILL hangs"),
        seldom=True,
        slow=True,
    ),
    shell(
        *("proc.zombie", DEGRADED, "processes have ended and nobody has waited for them", "parent"),
        *(f'systemd-run --quiet --unit=leaves python3 -c "{LEAVES}"', "systemctl stop leaves"),
        seldom=True,
    ),
    shell(
        *("os.memory", DEGRADED, "64 MiB of memory are available", "ps"),
        f"sed 's/^MemAvailable:.*/MemAvailable: 65536 kB/' /proc/meminfo > {SMALL}/meminfo"
        f" && mount --bind {SMALL}/meminfo /proc/meminfo",
        "umount /proc/meminfo",
    ),
    shell(
        *("os.services", UNHEALTHY, f"the service {SERVICE} is inactive", "systemctl restart"),
        *(f"systemctl stop {SERVICE}", f"systemd-run --quiet --unit={SERVICE} sleep infinity"),
    ),
    shell(
        *("own.ours", DEGRADED, "the pump stands still", OWN),
        *(f"echo 2 > {SMALL}/pump", f"echo 0 > {SMALL}/pump"),
        seldom=True,
    ),
]
ELSEWHERE = {"torch.ready"}
"""Tested below."""
POLLS_BESIDE = 2
"""So many more than those that confirm it may pass until it is seen."""


@pytest.fixture
def nodes(torch_fleet: Fleet) -> Iterator[list[Node]]:
    """Four nodes with two GPUs, and with something of everything that is looked at."""
    fleet = torch_fleet
    names = list(fleet.lab.nodes)
    made, settings = [], {}
    for name, neighbour in zip(names, [*names[1:], names[0]], strict=True):
        node = Node(fleet, name, fleet.lab.give_gpus(name, 2), fleet.lab[neighbour].address)
        node.gpus.set("retired_dbe", 0, gpu=0)
        settings[name] = {"muster_health": {**SETTINGS, "targets": [f"{node.peer}:22"]}}
        node.shell(f"touch {KERNEL_LOG}; {TIDY}")
        shutil.copy(clock_library(), fleet.lab[name].root / CLOCK_LIBRARY[1:])
        assert "ready" in node.shell(f"( {PREPARE} ) && echo ready")
        made.append(node)
    try:
        for playbook in ("sync", "monitor"):
            begun = fleet.play(playbook, on=fleet.inventory(4, host_vars=settings))
            assert begun.rc == 0, begun.out
        yield made
    finally:
        for node in made:
            fleet.forget_monitor(node.name)
            node.shell(TIDY)


def clock_library() -> Path:
    """CLOCK, compiled."""

    def compile_into(place: Path) -> None:
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-x", "c", "-o", place / "clock.so", "-"], input=CLOCK.encode(), check=True
        )

    return cached(f"clock-{hashlib.sha256(CLOCK.encode()).hexdigest()[:12]}", compile_into) / "clock.so"


def confirming(fault: Fault) -> int:
    """How many polls in a row have to find it."""
    policy = BY_NAME.get(fault.check, BY_NAME["own"]).policy
    return 1 if policy.latch else policy.fail_after


def row_of(report: dict[str, Any], check: str) -> dict[str, Any]:
    """The worst of a check's rows."""
    return next((row for row in report["checks"] if check in (row["check"], f"own.{row['entity']}")), {})


def look_now(nodes: list[Node]) -> None:
    """What is looked at seldom is looked at now."""
    for node in nodes:
        node.shell(f"systemctl reload {UNIT}")


def stays_latched(node: Node, check: str) -> None:
    """The check is well again, and the fault that was confirmed holds all the same."""

    def row() -> dict[str, Any]:
        return row_of(health(node.fleet)[node.name], check)

    until(lambda: row()["last"] == "OK", row)
    assert (row()["status"], row()["latched"]) == ("CRITICAL", True)


def test_every_fault_is_seen_says_what_to_do_and_goes_by_the_rules(nodes: list[Node]) -> None:
    fleet = nodes[0].fleet
    assert {fault.check.replace("own.ours", "own") for fault in FAULTS} | ELSEWHERE == set(BY_NAME)
    well = {node.name: (WELL, "") for node in nodes}
    become(fleet, well)
    for first in range(0, len(FAULTS), len(nodes)):
        pairs = list(zip(nodes, FAULTS[first : first + len(nodes)], strict=False))
        nudge = partial(look_now, [node for node, fault in pairs if fault.seldom])
        began = {}
        for node, fault in pairs:
            fault.inject(node)
            began[node.name] = time.clock_gettime(time.CLOCK_BOOTTIME)
        found = become(fleet, {node.name: (fault.state, fault.check) for node, fault in pairs}, nudge)
        for node, fault in pairs:
            report = found[node.name]
            assert fault.reason in report["reason"], fault.check
            assert fault.action in report["action"], fault.check
            if not fault.slow:
                polls = polls_until(fleet, node.name, began[node.name], (fault.state, fault.check))
                assert polls <= confirming(fault) + POLLS_BESIDE, fault.check
        for node, fault in pairs:
            fault.mend(node)
        for node, fault in pairs:
            if fault.cleared:
                if BY_NAME[fault.check].policy.latch and fault.mend is not _nothing:
                    stays_latched(node, fault.check)
                assert verdicts(fleet)[node.name][0] == fault.state, f"{fault.check} is not over by itself"
                fleet.run(sys.executable, "-m", "muster.cli", "health", node.name, "--clear", fault.check)
        become(fleet, well, nudge)


def test_a_training_environment_that_is_broken_is_found(nodes: list[Node]) -> None:
    (node, *_others) = nodes
    set_python = f"printf '#!/bin/sh\\nexec %s \"$@\"\\n' {{}} > {TRAINING_PYTHON}; chmod 755 {TRAINING_PYTHON}"
    node.shell(set_python.format(PYTHON))
    settings = {**SETTINGS, "torch": {"python": TRAINING_PYTHON, "devices": 0}}
    begun = node.fleet.play("monitor", "--limit", node.name, on=4, muster_health=settings)
    assert begun.rc == 0, begun.out
    report = until(
        lambda: (one := health(node.fleet)[node.name]) and row_of(one, "torch.ready").get("status") == "OK" and one,
        lambda: health(node.fleet)[node.name],
    )
    assert report["state"] == WELL
    assert "computes on the CPU" in row_of(report, "torch.ready")["reason"]
    node.shell(set_python.format("/usr/bin/python3"))
    nudge = partial(look_now, [node])
    found = become(node.fleet, {node.name: (UNHEALTHY, "torch.ready")}, nudge)[node.name]
    assert "PyTorch does not work: ModuleNotFoundError: No module named 'torch'" in found["reason"]
    assert "import torch" in found["action"]
    node.shell(set_python.format(PYTHON))
    become(node.fleet, {node.name: (WELL, "")}, nudge)
