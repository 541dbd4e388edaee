# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What NVIDIA's own Python binding sees of the fake library."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakenvml import FakeNvml
from tests.lab.command import wait_until
from tests.lab.process import stat

# Answers each line of standard input, a Python expression over `N` (pynvml) and `gpu`, with its value or error.
ASK = """
import sys, pynvml as N
N.nvmlInit()
gpu = [N.nvmlDeviceGetHandleByIndex(index) for index in range(N.nvmlDeviceGetCount())]
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(eval(line), flush=True)
    except N.NVMLError as error:
        print(type(error).__name__, flush=True)
"""


class Program:
    """A running program that uses NVML."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, expression: str) -> str:
        self.say(expression)
        return self.hear()

    def say(self, expression: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@contextmanager
def program(nvml: FakeNvml, **environment: str) -> Iterator[Program]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    env = {**nvml.environment(), **environment}
    with subprocess.Popen([sys.executable, "-c", ASK], env=env, **pipes) as process:  # type: ignore[call-overload]
        running = Program(process)
        assert running.hear() == "ready"
        yield running
        process.kill()


@pytest.fixture
def nvml(tmp_path: Path) -> FakeNvml:
    return FakeNvml(tmp_path, gpus=4)


def test_an_inventory_of_the_gpus_is_what_the_file_says(tmp_path: Path) -> None:
    nvml = FakeNvml(tmp_path, gpus=2, model="NVIDIA L4", memory_mib=23034, uuids=["GPU-one"])
    nvml.set("mig", 1, gpu=1)
    with program(nvml) as running:
        assert running.ask("[N.nvmlDeviceGetName(g) for g in gpu]") == "['NVIDIA L4', 'NVIDIA L4']"
        assert running.ask("[N.nvmlDeviceGetUUID(g) for g in gpu]") == str(nvml.uuids)
        assert running.ask("N.nvmlDeviceGetIndex(N.nvmlDeviceGetHandleByUUID('GPU-one'))") == "0"
        assert (
            running.ask("[N.nvmlDeviceGetPciInfo(g).busId for g in gpu]") == "['00000000:07:00.0', '00000000:0A:00.0']"
        )
        assert running.ask("N.nvmlDeviceGetMemoryInfo(gpu[0]).total >> 20") == "23034"
        assert running.ask("N.nvmlDeviceGetMemoryInfo(gpu[0], version=N.nvmlMemory_v2).total >> 20") == "23034"
        assert running.ask("[N.nvmlDeviceGetMigMode(g) for g in gpu]") == "[[0, 0], [1, 1]]"
        assert running.ask("N.nvmlSystemGetDriverVersion()") == "570.124.06"


def test_every_value_that_a_check_reads_can_be_set(nvml: FakeNvml) -> None:
    said = {
        "temperature": ("91", "N.nvmlDeviceGetTemperature(gpu[1], 0)", "91"),
        "temperature_slowdown": ("80", "N.nvmlDeviceGetTemperatureThreshold(gpu[1], 1)", "80"),
        "temperature_margin": ("5", "N.nvmlDeviceGetMarginTemperature(gpu[1])", "5"),
        "throttle": ("hw_slowdown|hw_thermal_slowdown", "N.nvmlDeviceGetCurrentClocksEventReasons(gpu[1])", "72"),
        "power": ("699.5W", "N.nvmlDeviceGetPowerUsage(gpu[1])", "699500"),
        "power_limit": ("N/A", "N.nvmlDeviceGetEnforcedPowerLimit(gpu[1])", "NVMLError_NotSupported"),
        "utilization": ("97", "N.nvmlDeviceGetUtilizationRates(gpu[1]).gpu", "97"),
        "clock_sm": ("1200", "N.nvmlDeviceGetClockInfo(gpu[1], 1)", "1200"),
        "pcie_width": ("8", "N.nvmlDeviceGetCurrPcieLinkWidth(gpu[1])", "8"),
        "pcie_generation": ("4", "N.nvmlDeviceGetCurrPcieLinkGeneration(gpu[1])", "4"),
        "pcie_replays": ("17", "N.nvmlDeviceGetPcieReplayCounter(gpu[1])", "17"),
        "nvlink.3.state": ("0", "N.nvmlDeviceGetNvLinkState(gpu[1], 3)", "0"),
        "nvlink.3.crc_flit": ("9", "N.nvmlDeviceGetNvLinkErrorCounter(gpu[1], 3, 2)", "9"),
        "fabric_state": (
            "2",
            "(f := N.c_nvmlGpuFabricInfo_v3_t(), N.nvmlDeviceGetGpuFabricInfoV(gpu[1], N.byref(f)), f.state)[2]",
            "2",
        ),
        "ecc.uncorrected.volatile": ("3", "N.nvmlDeviceGetTotalEccErrors(gpu[1], 1, 0)", "3"),
        "sram.threshold_exceeded": (
            "1",
            "(s := N.c_nvmlEccSramErrorStatus_v1_t(),"
            " N.nvmlDeviceGetSramEccErrorStatus(gpu[1], N.byref(s)), s.bThresholdExceeded)[2]",
            "1",
        ),
        "remap.pending": ("1", "N.nvmlDeviceGetRemappedRows(gpu[1])[2]", "1"),
        "retired_dbe": ("2", "len(N.nvmlDeviceGetRetiredPages(gpu[1], 1))", "2"),
        "retired_pending": ("1", "N.nvmlDeviceGetRetiredPagesPendingStatus(gpu[1])", "1"),
        "recovery_action": ("2", "N.nvmlDeviceGetFieldValues(gpu[1], [230])[0].value.ullVal", "2"),
        "temperature_memory": ("88", "N.nvmlDeviceGetFieldValues(gpu[1], [82])[0].value.ullVal", "88"),
        "inforom_corrupt": ("1", "N.nvmlDeviceValidateInforom(gpu[1])", "NVMLError_CorruptedInforom"),
        "persistence": ("0", "N.nvmlDeviceGetPersistenceMode(gpu[1])", "0"),
        "ecc_mode": ("0", "N.nvmlDeviceGetEccMode(gpu[1])", "[0, 0]"),
        "processes": (
            "12:C:1GiB, 13:C:2MiB, 14:G:1MiB",
            "[(p.pid, p.usedGpuMemory >> 20) for p in N.nvmlDeviceGetComputeRunningProcesses(gpu[1])]",
            "[(12, 1024), (13, 2)]",
        ),
    }
    with program(nvml) as running:
        before = {key: running.ask(question) for key, (_, question, _) in said.items()}
        for key, (value, question, answer) in said.items():
            nvml.set(key, value, gpu=1)
            assert running.ask(question) == answer, key
            assert running.ask(question.replace("gpu[1]", "gpu[0]")) == before[key], key
            nvml.clear(key, gpu=1)
            assert running.ask(question) == before[key], key


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("lost", "NVMLError_GpuIsLost"),
        ("reset", "NVMLError_ResetRequired"),
        ("error:LIB_RM_VERSION_MISMATCH", "NVMLError_LibRmVersionMismatch"),
        ("error:999", "NVMLError_Unknown"),
    ],
)
def test_a_fault_of_one_function_of_one_gpu_leaves_the_others_alone(nvml: FakeNvml, fault: str, error: str) -> None:
    with program(nvml) as running:
        nvml.set("fault.nvmlDeviceGetPowerUsage", fault, gpu=1)
        assert running.ask("N.nvmlDeviceGetPowerUsage(gpu[1])") == error
        assert running.ask("N.nvmlDeviceGetPowerUsage(gpu[0])") == "71000"
        assert running.ask("N.nvmlDeviceGetTemperature(gpu[1], 0)") == "36"
        nvml.clear("fault.nvmlDeviceGetPowerUsage", gpu=1)
        assert running.ask("N.nvmlDeviceGetPowerUsage(gpu[1])") == "71000"


def test_a_gpu_that_disappears_is_lost_to_who_holds_it_and_the_rest_are_renumbered(nvml: FakeNvml) -> None:
    with program(nvml) as running:
        nvml.set("present", 0, gpu=1)
        assert running.ask("N.nvmlDeviceGetName(gpu[1])") == "NVMLError_GpuIsLost"
    with program(nvml) as running:
        assert len(nvml.uuids) == 3
        assert running.ask("[N.nvmlDeviceGetUUID(g) for g in gpu]") == str(nvml.uuids)


def test_a_driver_that_is_not_loaded_refuses_to_start(nvml: FakeNvml) -> None:
    nvml.set("fault.nvmlInit", "error:DRIVER_NOT_LOADED")
    done = subprocess.run(
        [sys.executable, "-c", "import pynvml; pynvml.nvmlInit()"],
        env=nvml.environment(),
        capture_output=True,
        text=True,
    )
    assert "NVMLError_DriverNotLoaded" in done.stderr


def test_an_xid_reaches_each_event_set_once_and_only_if_it_came_after_it(nvml: FakeNvml) -> None:
    nvml.xid(0, 13)
    with program(nvml) as running:
        running.ask("globals().update(events=N.nvmlEventSetCreate())")
        running.ask("[N.nvmlDeviceRegisterEvents(g, N.nvmlEventTypeXidCriticalError, events) for g in gpu]")
        wait = "(e := N.nvmlEventSetWait(events, 30000), N.nvmlDeviceGetIndex(e.device), e.eventData)[1:]"
        running.say(wait)
        nvml.xid(3, 79)
        assert running.hear() == "(3, 79)"
        assert running.ask("N.nvmlEventSetWait(events, 50)") == "NVMLError_Timeout"


def test_a_call_in_state_d_ends_with_sigkill_only(nvml: FakeNvml) -> None:
    with program(nvml) as running:
        running.ask("__import__('signal').signal(15, lambda *_: None)")
        nvml.set("fault.nvmlDeviceGetTemperature", "dstate", gpu=0)
        running.say("N.nvmlDeviceGetTemperature(gpu[0], 0)")
        wait_until(lambda: stat(running.process.pid)[0] == "D", 10, "state D")
        running.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(0.3)
        running.process.kill()
        assert running.process.wait(10) == -signal.SIGKILL


def test_a_hanging_call_goes_on_when_its_time_is_over(nvml: FakeNvml) -> None:
    with program(nvml) as running:
        nvml.set("fault", "hang:0.2", gpu=0)
        assert running.ask("N.nvmlDeviceGetTemperature(gpu[0], 0)") == "36"


def test_a_crash_takes_only_the_process_that_called(nvml: FakeNvml) -> None:
    with program(nvml) as running, program(nvml) as other:
        nvml.set("fault.nvmlDeviceGetName", "crash", gpu=0)
        running.say("N.nvmlDeviceGetName(gpu[0])")
        assert running.process.wait(10) == -signal.SIGSEGV
        assert other.ask("N.nvmlDeviceGetPowerUsage(gpu[0])") == "71000"


def test_every_call_is_logged_for_those_who_count_them(nvml: FakeNvml, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    with program(nvml, FAKE_NVML_LOG=str(log)) as running:
        running.ask("N.nvmlDeviceGetName(gpu[1])")
        nvml.set("fault", "lost", gpu=1)
        running.ask("N.nvmlDeviceGetName(gpu[1])")
        calls = [
            line.split()[1:] for line in log.read_text().splitlines() if line.startswith(f"{running.process.pid} ")
        ]
    assert calls[0] == ["nvmlInit", "-1", "0"]
    assert calls[-2:] == [["nvmlDeviceGetName", "1", "0"], ["nvmlDeviceGetName", "1", "15"]]


def test_an_old_driver_lacks_newer_functions(tmp_path: Path) -> None:
    with program(FakeNvml(tmp_path, gpus=1, old_driver=True)) as running:
        assert running.ask("N.nvmlDeviceGetMemoryInfo(gpu[0]).total >> 20") == "81559"
        assert running.ask("N.nvmlDeviceGetMarginTemperature(gpu[0])") == "NVMLError_FunctionNotFound"
