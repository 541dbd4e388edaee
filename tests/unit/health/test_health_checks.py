# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every check of the catalogue: what is well, what is not, and what cannot be told."""

from __future__ import annotations

from typing import Any

import pytest
from muster.agent.health.ask import Ask
from muster.agent.health.catalogue import BY_NAME, CHECKS, SAMPLERS
from muster.agent.health.result import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Result
from muster.agent.health.settings import Settings, parse

from .facts import SETTINGS, Facts, gpu, nvml, well

NO_LIBRARY = {"error": "LIBRARY_NOT_FOUND", "driver": None, "gpus": []}
CPU_NODE = {**SETTINGS, "expect": {"gpus": 0}}
NOW = 100_000.0
LOST = {"errors": {"handle": "GPU_IS_LOST"}}


def xid(code: int, text: str = "", /, seq: int = 1, ago_s: float = 1.0, **other: Any) -> Facts:
    event = {"seq": seq, "at": NOW - ago_s, "device": "0000:07:00", "code": code, "switch": False, "text": text}
    return {**event, **other}


def disk(**other: Any) -> Facts:
    return {"/": {**well()["disks"]["/"], **other}}


def answer_of(**other: Any) -> Facts:
    return {"targets": {"10.0.0.1:22": {"milliseconds": [], "failed": 0, "error": "", **other}}}


def link(**other: Any) -> Facts:
    return {"links": {"mlx5_0": {**well()["links"]["links"]["mlx5_0"], **other}}}


def log(*events: Facts) -> Facts:
    return {"error": None, "events": list(events)}


def system(**other: Any) -> Facts:
    return {**well()["system"], **other}


def judge(
    name: str, facts: Any, asked: Facts = SETTINGS, memory: Facts | None = None, now: float = NOW
) -> list[Result]:
    check = BY_NAME[name]
    settings: Settings = parse(asked, BY_NAME)
    memory = {} if memory is None else memory
    return check.judge(facts, Ask(settings, check.warning, check.critical, memory, now))


def worst(results: list[Result]) -> Result:
    order = (CRITICAL, WARNING, UNKNOWN, OK, SKIPPED)
    return min(results, key=lambda one: order.index(one.status))


BAD = [
    ("gpu.driver", nvml(**NO_LIBRARY), CRITICAL, "2 GPUs are expected, and NVIDIA's library", "install the driver"),
    ("gpu.driver", nvml(error="LIB_RM_VERSION_MISMATCH"), CRITICAL, "another version than the driver", "reboot"),
    ("gpu.driver", nvml(error="DRIVER_NOT_LOADED"), CRITICAL, "NVML does not start: DRIVER_NOT_LOADED", "dmesg"),
    ("gpu.version", nvml(driver="470.1"), WARNING, "the driver is 470.1, and 570.124.06 is expected", "same driver"),
    ("gpu.count", nvml(gpus=[gpu(0)]), CRITICAL, "1 of 2 GPUs are there", "reboot the node"),
    ("gpu.count", nvml(gpus=[gpu(0), gpu(1), gpu(2)]), WARNING, "3 GPUs are there, and 2 are expected", "sync.yml"),
    ("gpu.lost", nvml({"index": 0, **LOST}), CRITICAL, "GPU 0 has fallen off the bus", "reboot the node"),
    ("gpu.lost", nvml(gpu(errors={"temperature": "RESET_REQUIRED"})), CRITICAL, "GPU 0 must be reset", "gpu-reset"),
    ("gpu.recovery_action", nvml(gpu(recovery_action=1)), CRITICAL, "asks for a reset of the GPU for GPU 0", "reset"),
    ("gpu.recovery_action", nvml(gpu(recovery_action=3)), WARNING, "asks for the end of peer-to-peer", "let the jobs"),
    ("gpu.recovery_action", nvml(gpu(recovery_action=9)), CRITICAL, "asks for action 9", "manual"),
    ("gpu.idle", nvml(gpu(processes=[1])), WARNING, "GPU 0 is used by process 1, and no job of Muster's", "end it"),
    ("gpu.modes", nvml(gpu(persistence=False)), WARNING, "GPU 0: persistence is False and not True", "nvidia-smi"),
    ("gpu.ecc.uncorrected", nvml(gpu(ecc_uncorrected=1)), CRITICAL, "GPU 0 has had 1 memory errors", "drain the node"),
    ("gpu.ecc.corrected", nvml(gpu(ecc_corrected=6 * 10**7)), WARNING, "has corrected 60000000", "watch it"),
    ("gpu.sram", nvml(gpu(sram_exceeded=True)), CRITICAL, "errors in its caches", "replaced"),
    ("gpu.remap.pending", nvml(gpu(remap=[0, 1, 1, 0])), WARNING, "that the next reset replaces", "reset the GPU"),
    ("gpu.remap.failure", nvml(gpu(remap=[0, 1, 0, 1])), CRITICAL, "none left to replace it", "replaced"),
    ("gpu.remap.count", nvml(gpu(remap=[0, 512, 0, 0])), WARNING, "has replaced 512 faulty rows", "replacement"),
    ("gpu.pages", nvml(gpu(retired_dbe=60, retired_sbe=3)), CRITICAL, "retired 63 pages", "replaced"),
    ("gpu.pages", nvml(gpu(retired_dbe=1, retired_pending=1)), WARNING, "the next reset retires", "reset the GPU"),
    (
        "gpu.xid",
        log(xid(79, "GPU has fallen off the bus")),
        CRITICAL,
        "XID 79: GPU has fallen off the bus",
        "reboot it",
    ),
    ("gpu.xid", log(xid(119)), CRITICAL, "XID 119", "reset the GPU"),
    ("gpu.xid", log(xid(48)), CRITICAL, "XID 48", "drain the node"),
    ("gpu.xid", log(xid(31)), WARNING, "XID 31", "look at the program"),
    ("gpu.xid", log(xid(999)), WARNING, "XID 999", "look at the program"),
    (
        "gpu.xid",
        log(*(xid(31, seq=seq, ago_s=9000 - 600 * seq) for seq in range(5))),
        CRITICAL,
        "XID 31, 5 times in a day",
        "drain",
    ),
    ("gpu.xid", log(xid(12028, "Fatal, Link 12", switch=True)), CRITICAL, "SXID 12028: Fatal, Link 12", "drain"),
    ("gpu.xid", log(xid(145, "RLW_REMAP Fatal XC0")), CRITICAL, "XID 145", "drain"),
    ("gpu.temperature", nvml(gpu(temperature=84)), WARNING, "GPU 0 has 84 degrees and slows down at 89", "fans"),
    ("gpu.temperature", nvml(gpu(temperature=92)), CRITICAL, "GPU 0 has 92 degrees and switches off at 95", "fans"),
    ("gpu.memory_temperature", nvml(gpu(temperature_memory=95)), WARNING, "has 95 degrees, and is made for 95", "fans"),
    ("gpu.pcie", nvml(gpu(pcie_width=8)), WARNING, "GPU 0 is connected by 8 of 16 PCIe lanes", "seat"),
    ("gpu.pcie", nvml(gpu(pcie_generation=1, utilization=90)), WARNING, "at generation 1 of 5", "BIOS"),
    ("gpu.fabric", nvml(gpu(fabric=[1, 0])), CRITICAL, "has not begun to set up GPU 0", "nvidia-fabricmanager"),
    ("gpu.fabric", nvml(gpu(fabric=[3, 999])), CRITICAL, "has failed (999) to set up GPU 0", "nvidia-fabricmanager"),
    ("torch.ready", {"error": "ImportError: no"}, CRITICAL, "PyTorch does not work: ImportError: no", "import torch"),
    ("torch.ready", {"version": "2", "devices": 1, "wrong": []}, CRITICAL, "PyTorch 2 sees 1 of 2 GPUs", "built for"),
    ("torch.ready", {"version": "2", "devices": 2, "wrong": ["cuda:1"]}, CRITICAL, "wrongly on cuda:1", "inspected"),
    ("disk.free", disk(free_gb=9.99), WARNING, "9.99 GB are free below /", "make room"),
    ("disk.free", disk(free_gb=0.5), CRITICAL, "0.5 GB are free below /", "make room"),
    ("disk.inodes", disk(inodes_free=4.0), WARNING, "4 % of the inodes are free", "remove files"),
    ("disk.writable", disk(readonly=True), CRITICAL, "mounted read-only", "dmesg"),
    ("disk.writable", disk(unwritten="Permission denied"), CRITICAL, "Permission denied", "muster_state_dir"),
    ("net.latency", answer_of(milliseconds=[99, 101, 100, 150, 90]), WARNING, "10.0.0.1:22 answers in 100 ms", "link"),
    ("net.latency", answer_of(milliseconds=[1] * 2, failed=3, error="timed out"), CRITICAL, "3 of 5", "firewall"),
    ("net.link", link(up=False, state="DOWN"), CRITICAL, "the link mlx5_0 is DOWN", "cable"),
    ("net.link", link(gbps=100.0), CRITICAL, "the link mlx5_0 runs at 100 of 200 Gb/s", "cable"),
    ("proc.zombie", {"waiting": [], "zombies": 2000}, CRITICAL, "2000 processes have ended", "parent"),
    ("os.memory", system(available_mib=99), CRITICAL, "99 MiB of memory are available", "ps aux"),
    ("os.clock", system(synchronized=False), WARNING, "the clock is not synchronized", "chrony"),
    (
        "os.services",
        system(services={"x.service": "failed"}),
        CRITICAL,
        "the service x.service is failed",
        "journalctl",
    ),
    ("own", {"error": None, "found": {"a": {"code": 2, "output": "it is broken"}}}, CRITICAL, "it is broken", "/a"),
    ("own", {"error": None, "found": {"a": {"code": 1, "output": ""}}}, WARNING, "a ended with code 1 without", "/a"),
]

UNTOLD = [
    ("gpu.count", nvml(error="DRIVER_NOT_LOADED")),
    ("gpu.lost", nvml({"index": 0, "errors": {"handle": "NO_PERMISSION"}})),
    *((name, nvml({"index": 0, **LOST})) for name, one in BY_NAME.items() if one.sampler == "nvml" and name not in (
        "gpu.driver", "gpu.responsive", "gpu.version", "gpu.count", "gpu.lost")),
    ("gpu.power", nvml(gpu(errors={"power": "NOT_SUPPORTED"}))),
    ("gpu.temperature", nvml(gpu(errors={"temperature": "UNKNOWN"}))),
    ("gpu.xid", {"error": "/dev/kmsg: Permission denied", "events": []}),
    *((name, {"/": {"error": "Stale file handle"}}) for name in ("disk.free", "disk.inodes", "disk.writable")),
    ("net.link", {"links": {"mlx5_0": {"error": "No such file or directory"}}}),
    ("net.link", link(gbps=None)),
    ("os.memory", system(available_mib=None)),
    ("os.clock", system(synchronized=None)),
    ("os.services", system(services={"x.service": None})),
    ("own", {"error": None, "found": {"a": {"code": 3, "output": "what?"}}}),
    ("own", {"error": None, "found": {"a": {"code": 127, "output": ""}}}),
    ("own", {"error": None, "found": {"a": {"refused": "it is not executable"}}}),
    ("own", {"error": "Permission denied", "found": {}}),
]  # fmt: skip

CONFIRMED_BY_ITSELF = {"gpu.throttle", "gpu.pcie_replay", "gpu.nvlink", "gpu.nvlink_errors", "proc.dstate"}
"""Those that need more than one sample to be bad: each has a test of its own below."""
NEVER_UNTOLD = {
    "gpu.driver",
    "gpu.responsive",
    "gpu.version",
    "torch.ready",
    "proc.dstate",
    "proc.zombie",
    "net.latency",
}
"""Those of which something can always be told when there are facts at all."""
NEVER_BAD = {"gpu.responsive", "gpu.power"}
"""The first is bad only if there are no facts, the other is never more than UNKNOWN."""


@pytest.mark.parametrize("name", BY_NAME)
def test_a_node_that_is_well_passes(name: str) -> None:
    results = judge(name, well()[BY_NAME[name].sampler])
    allowed = {OK, SKIPPED} if name in ("gpu.pages", "gpu.modes") else {OK}
    assert {result.status for result in results} <= allowed
    assert all(result.reason and not result.reason.endswith(".") and not result.action for result in results)


@pytest.mark.parametrize(("name", "facts", "status", "reason", "action"), BAD)
def test_what_is_bad_says_so_and_what_to_do(name: str, facts: Any, status: str, reason: str, action: str) -> None:
    result = worst(judge(name, facts))
    assert (result.status, reason in result.reason, action in result.action) == (status, True, True), result
    assert not result.reason.endswith(".")
    assert not result.action.endswith(".")


@pytest.mark.parametrize(("name", "facts"), UNTOLD)
def test_what_cannot_be_told_is_unknown_and_never_well(name: str, facts: Any) -> None:
    assert worst(judge(name, facts)).status == UNKNOWN


def test_no_check_is_left_out_of_these_tables() -> None:
    assert {row[0] for row in BAD} | CONFIRMED_BY_ITSELF | NEVER_BAD == set(BY_NAME)
    assert {row[0] for row in UNTOLD} | NEVER_UNTOLD == set(BY_NAME)
    assert {check.sampler for check in CHECKS} == set(SAMPLERS)


@pytest.mark.parametrize("name", [name for name, one in BY_NAME.items() if one.sampler == "nvml"])
def test_a_node_without_gpus_is_not_asked_for_them(name: str) -> None:
    assert {result.status for result in judge(name, nvml(**NO_LIBRARY), CPU_NODE)} == {SKIPPED}
    unread = {"error": "no permission", "events": []}
    assert [result.status for result in judge("gpu.xid", unread, CPU_NODE)] == [SKIPPED]


def test_the_most_gpus_that_were_seen_are_expected_where_nobody_says_how_many() -> None:
    memory: Facts = {}
    assert judge("gpu.count", nvml(), {}, memory)[0].status == OK
    assert judge("gpu.count", nvml(gpus=[gpu(0)]), {}, memory)[0].reason == "1 of 2 GPUs are there"


def test_a_gpu_that_does_not_tell_what_it_bears_is_not_judged_by_its_heat() -> None:
    silent = {"temperature_slowdown": "NOT_SUPPORTED", "temperature_shutdown": "NOT_SUPPORTED"}
    assert judge("gpu.temperature", nvml(gpu(temperature=120, errors=silent)))[0].status == SKIPPED


def test_a_lost_gpu_keeps_its_name() -> None:
    memory: Facts = {}
    before = judge("gpu.lost", nvml(), memory=memory)
    after = judge("gpu.lost", nvml({"index": 0, **LOST}), memory=memory)
    assert [one.entity for one in after] == [one.entity for one in before] == ["GPU-0", "GPU-1"]
    assert [one.status for one in after] == [CRITICAL, OK]


def test_a_process_of_a_job_is_no_stranger() -> None:
    facts = nvml(gpu(processes=[1]), leased=["GPU-0"])
    assert {one.status for one in judge("gpu.idle", facts)} == {OK}


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert {one.status for one in judge("gpu.idle", nvml(gpu(processes=[2**22 + 1])))} == {OK}


def test_a_gpu_that_was_reset_is_mended() -> None:
    memory: Facts = {}
    bad = judge("gpu.ecc.uncorrected", nvml(gpu(ecc_uncorrected=3)), memory=memory)[0]
    good = judge("gpu.ecc.uncorrected", nvml(), memory=memory)[0]
    still = judge("gpu.ecc.uncorrected", nvml(), memory=memory)[0]
    assert [(one.status, one.mended) for one in (bad, good, still)] == [(CRITICAL, False), (OK, True), (OK, False)]


def test_a_gpu_that_was_held_back_in_six_of_ten_minutes_is_looked_at() -> None:
    memory: Facts = {}
    hot = nvml(gpu(throttle=0x48))
    for minute in range(6):
        result = judge("gpu.throttle", hot, memory=memory, now=NOW + 60 * minute)[0]
        assert result.status == (OK if minute < 5 else WARNING)
    assert result.reason == "GPU 0 was held back by its heat in 6 of the last 10 minutes"
    assert judge("gpu.throttle", nvml(), memory=memory, now=NOW + 1000)[0].reason == "GPU 0 is not held back"


def test_a_power_limit_is_no_fault() -> None:
    memory: Facts = {}
    for minute in range(20):
        assert judge("gpu.throttle", nvml(gpu(throttle=0x4)), memory=memory, now=NOW + 60 * minute)[0].status == OK


def test_packets_that_are_sent_again_count_by_the_hour() -> None:
    memory: Facts = {}
    counts = [(0, 5000, OK), (60, 5050, OK), (120, 5100, WARNING), (4000, 5100, OK), (4060, 10, OK)]
    for after, total, status in counts:
        result = judge("gpu.pcie_replay", nvml(gpu(pcie_replays=total)), memory=memory, now=NOW + after)[0]
        assert result.status == status, (after, result)


def links(**other: Any) -> Facts:
    return nvml(gpu(nvlinks={**well()["nvml"]["gpus"][0]["nvlinks"], **other}))


def test_an_nvlink_that_was_up_must_stay_up() -> None:
    memory: Facts = {}
    assert judge("gpu.nvlink", links(), memory=memory)[0].status == OK
    down = judge("gpu.nvlink", links(active=17, inactive=[3]), memory=memory)[0]
    assert (down.status, down.reason) == (CRITICAL, "17 of 18 NVLinks of GPU 0 are up (down: 3)")
    assert judge("gpu.nvlink", links(active=0, inactive=[0, 1]))[0].status == SKIPPED, "a board without bridges"
    asked = {"expect": {"nvlinks": 18}}
    assert judge("gpu.nvlink", links(active=0, inactive=list(range(18))), asked)[0].status == CRITICAL


def test_errors_of_an_nvlink_count_from_when_it_was_first_seen() -> None:
    memory: Facts = {}
    assert judge("gpu.nvlink_errors", links(replay=7), memory=memory)[0].status == OK
    assert judge("gpu.nvlink_errors", links(replay=7, crc=1), memory=memory)[0].status == WARNING
    bad = judge("gpu.nvlink_errors", links(replay=8, crc=1), memory=memory)[0]
    assert (bad.status, bad.reason) == (CRITICAL, "NVLink errors of GPU 0 in an hour: 1 replay, 1 crc")


def test_a_process_must_hang_in_the_kernel_five_times_and_for_four_minutes() -> None:
    facts = {"waiting": [{"pid": 7, "start_ticks": 1, "name": "cp"}], "zombies": 0}
    memory: Facts = {}
    for after in (0, 60, 120, 180):
        assert judge("proc.dstate", facts, memory=memory, now=NOW + after)[0].status == OK
    bad = judge("proc.dstate", facts, memory=memory, now=NOW + 240)[0]
    assert (bad.status, bad.reason) == (WARNING, "in the kernel, for minutes, hangs cp (7)")
    other = {"waiting": [{"pid": 7, "start_ticks": 2, "name": "cp"}], "zombies": 0}
    assert judge("proc.dstate", other, memory=memory, now=NOW + 300)[0].status == OK, "its pid was used again"


def test_a_driver_that_hangs_in_the_kernel_is_worse() -> None:
    facts = {"waiting": [{"pid": 7, "start_ticks": 1, "name": "nvidia-smi"}], "zombies": 0}
    memory: Facts = {}
    results = [judge("proc.dstate", facts, memory=memory, now=NOW + 60 * number)[0] for number in range(5)]
    assert [one.status for one in results] == [OK] * 4 + [CRITICAL]


def test_a_link_that_goes_down_again_and_again_is_told() -> None:
    memory: Facts = {}
    results = [judge("net.link", link(downs=number), memory=memory, now=NOW + number)[0] for number in range(6)]
    assert [one.status for one in results] == [OK] * 5 + [WARNING]
    assert judge("net.link", link(downs=5), memory=memory, now=NOW + 2 * 86400)[0].status == OK


def test_xids_that_programs_cause_or_that_say_nothing_are_no_faults() -> None:
    for code in (43, 45, 154):
        assert {one.status for one in judge("gpu.xid", log(xid(code)))} == {OK}
    assert worst(judge("gpu.xid", log(xid(31, ago_s=7200)))).status == OK, "a program failed, long ago"


def test_the_cluster_says_what_an_xid_means_to_it() -> None:
    asked = {"xid": {"critical": [31], "ignored": [79]}}
    assert worst(judge("gpu.xid", log(xid(31)), asked)).status == CRITICAL
    assert worst(judge("gpu.xid", log(xid(79)), asked)).status == OK


def test_the_many_lines_of_one_fault_are_one_fault() -> None:
    lines = [xid(63, seq=seq, ago_s=7200 - seq / 1000) for seq in range(50)]
    assert worst(judge("gpu.xid", log(*lines))).status == OK, "it was one, and long ago"


def test_what_a_program_does_to_several_gpus_is_no_fault_of_theirs() -> None:
    def fault(device: str, seq: int) -> Facts:
        return xid(31, seq=seq, ago_s=9000 - 600 * (seq % 10), device=device)

    one = [fault("0000:07:00", seq) for seq in range(5)]
    assert worst(judge("gpu.xid", log(*one))).status == CRITICAL
    assert worst(judge("gpu.xid", log(*one, *(fault("0000:0a:00", 10 + seq) for seq in range(5))))).status == OK


def test_an_xid_is_read_once() -> None:
    memory: Facts = {}
    facts = log(xid(31, seq=7))
    for _time in range(9):
        assert worst(judge("gpu.xid", facts, memory=memory)).reason == "GPU at 0000:07:00: XID 31"


def test_a_gpu_whose_driver_says_that_it_was_reset_is_mended() -> None:
    memory: Facts = {}
    judge("gpu.xid", log(xid(119)), memory=memory)
    told = "GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"
    (result,) = [one for one in judge("gpu.xid", log(xid(154, told, seq=2)), memory=memory) if one.entity]
    assert (result.status, result.mended) == (OK, True)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"4,9,5000000,-;NVRM: Xid (PCI:0000:3B:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
         {"seq": 9, "at": 5.0, "device": "0000:3b:00", "code": 79, "switch": False,
          "text": "GPU has fallen off the bus"}),
        (b"3,10,6000000,-;NVRM: Xid (PCI:0000:07:00): 31, pid=1234, name=python, Ch 00000008",
         {"seq": 10, "at": 6.0, "device": "0000:07:00", "code": 31, "switch": False,
          "text": "pid=1234, name=python, Ch 00000008"}),
        (b"3,11,7000000,-;nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress error",
         {"seq": 11, "at": 7.0, "device": "0000:c1:00.0", "code": 12028, "switch": True,
          "text": "Non-fatal, Link 32 egress error"}),
        (b"12,12,8000000,-;NVRM: Xid (PCI:0000:07:00): 79, said by a program", None),
        (b"6,13,9000000,-;eth0: link up", None),
        (b" SUBSYSTEM=pci", None),
        (b"", None),
    ],
)  # fmt: skip
def test_a_record_of_the_kernels_log_is_read(line: bytes, found: Facts | None) -> None:
    from muster.agent.health.xid import event_of

    assert event_of(line) == found
