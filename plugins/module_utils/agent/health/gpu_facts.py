# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of all GPUs, read through NVML (sampler `nvml`).

It runs in a process of its own that stays, so that the driver is not woken up for each sample. A value that the driver
does not give is listed among the GPU's `errors`, as the name of NVML's error: one GPU, or one question, that fails does
not hide the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import locks
from ..layout import Layout
from .settings import Settings

Facts = dict[str, Any]

SHUTDOWN, SLOWDOWN, MEMORY_MAX = 0, 1, 2  # nvmlTemperatureThresholds_t
CORRECTED, UNCORRECTED, VOLATILE = 0, 1, 0
MULTIPLE_SINGLE_BIT, DOUBLE_BIT = 0, 1  # nvmlPageRetirementCause_t
MIB = 1024 * 1024
GONE = ("GPU_IS_LOST", "RESET_REQUIRED")

_started = False


def read(settings: Settings, doing: Callable[[str], None]) -> Facts:
    """Return {"error", "driver", "gpus": [{"index", "uuid", ..., "errors"}], "leased": uuids}; `doing` hears of each
    call before it.

    `error` is None, or the name of the NVML error with which the library does not start (LIBRARY_NOT_FOUND: there is
    none) or does not count the GPUs.
    """
    import pynvml

    nvml = _Nvml(pynvml, doing)
    answer: Facts = {"error": nvml.start(), "driver": None, "gpus": []}
    answer["leased"] = sorted(locks.holders(Layout(settings.state_dir)))
    if answer["error"] is None:
        answer["driver"] = nvml.ask(pynvml.nvmlSystemGetDriverVersion)[0]
        count, answer["error"] = nvml.ask(pynvml.nvmlDeviceGetCount)
        answer["gpus"] = [_Gpu(nvml, index).facts for index in range(count or 0)]
    doing("")
    return answer


def load_library() -> None:
    """Load what a later sample needs from the agent's file: another one may have taken its place by then."""
    import pynvml  # noqa: F401


class _Nvml:
    """Calls into the library that return (value, None) or (None, the error's name)."""

    def __init__(self, pynvml: Any, doing: Callable[[str], None]) -> None:
        self.lib = pynvml
        self.doing = doing
        # NVMLLibraryMismatchError, of a driver older than the binding, is no NVMLError.
        self.errors = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError)
        self.names = {
            value: name[len("NVML_ERROR_") :] for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")
        }

    def start(self) -> str | None:
        global _started
        if _started:
            return None
        _value, error = self.ask(self.lib.nvmlInit)
        _started = error is None
        return error

    def ask(self, function: Callable[..., Any], *arguments: Any, of: str = "") -> tuple[Any, str | None]:
        self.doing(f"{of}{function.__name__}")
        try:
            return function(*arguments), None
        except self.errors as error:
            if not isinstance(error, self.lib.NVMLError):
                return None, "FUNCTION_NOT_FOUND"
            return None, self.names.get(error.value, f"ERROR_{error.value}")


class _Gpu:
    """One GPU; `facts` has what could be read of it."""

    def __init__(self, nvml: _Nvml, index: int) -> None:
        self.nvml = nvml
        self.facts: Facts = {"index": index, "errors": {}}
        self.handle, error = nvml.ask(nvml.lib.nvmlDeviceGetHandleByIndex, index, of=f"GPU {index}: ")
        if error:
            self.facts["errors"]["handle"] = error
            return
        self._identity()
        self._memory()
        self._heat()
        self._links()
        self._modes()

    def _put(
        self,
        key: str,
        function: str,
        *arguments: Any,
        make: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        call = getattr(self.nvml.lib, function)
        value, error = self.nvml.ask(call, self.handle, *arguments, of=f"GPU {self.facts['index']}: ")
        if error:
            self.facts["errors"][key] = error
        else:
            self.facts[key] = make(value)

    def _fill(self, key: str, function: str, struct: Any, make: Callable[[Any], Any]) -> None:
        """Of a function that fills in a struct (which pynvml gives its version)."""
        self._put(key, function, self.nvml.lib.byref(struct), make=lambda _success: make(struct))

    def _field(self, key: str, field: int) -> None:
        """A value that has no function of its own; its error comes inside of the answer."""
        call = self.nvml.lib.nvmlDeviceGetFieldValues
        values, error = self.nvml.ask(call, self.handle, [field], of=f"GPU {self.facts['index']}: ")
        code = values[0].nvmlReturn if values else None
        if error or code:
            self.facts["errors"][key] = error or self.nvml.names.get(code, f"ERROR_{code}")
        else:
            self.facts[key] = values[0].value.ullVal

    def _identity(self) -> None:
        self._put("uuid", "nvmlDeviceGetUUID")
        self._put("model", "nvmlDeviceGetName")
        self._put("pci", "nvmlDeviceGetPciInfo", make=lambda pci: pci.busId)
        self._put("vbios", "nvmlDeviceGetVbiosVersion")

    def _memory(self) -> None:
        self._put("memory", "nvmlDeviceGetMemoryInfo", make=lambda one: [one.used // MIB, one.total // MIB])
        self._put("processes", "nvmlDeviceGetComputeRunningProcesses", make=lambda found: [one.pid for one in found])
        self._put("utilization", "nvmlDeviceGetUtilizationRates", make=lambda rates: rates.gpu)
        self._put("ecc_corrected", "nvmlDeviceGetTotalEccErrors", CORRECTED, VOLATILE)
        self._put("ecc_uncorrected", "nvmlDeviceGetTotalEccErrors", UNCORRECTED, VOLATILE)
        sram = self.nvml.lib.c_nvmlEccSramErrorStatus_v1_t()
        self._fill("sram_exceeded", "nvmlDeviceGetSramEccErrorStatus", sram, lambda one: bool(one.bThresholdExceeded))
        self._put("remap", "nvmlDeviceGetRemappedRows", make=list)  # corrected, uncorrected, pending, failed
        self._put("retired_sbe", "nvmlDeviceGetRetiredPages", MULTIPLE_SINGLE_BIT, make=len)
        self._put("retired_dbe", "nvmlDeviceGetRetiredPages", DOUBLE_BIT, make=len)
        self._put("retired_pending", "nvmlDeviceGetRetiredPagesPendingStatus")

    def _heat(self) -> None:
        lib = self.nvml.lib
        self._put("temperature", "nvmlDeviceGetTemperature", lib.NVML_TEMPERATURE_GPU)
        thresholds = {"slowdown": SLOWDOWN, "shutdown": SHUTDOWN, "memory_max": MEMORY_MAX}
        for name, which in thresholds.items():
            self._put(f"temperature_{name}", "nvmlDeviceGetTemperatureThreshold", which)
        self._field("temperature_memory", lib.NVML_FI_DEV_MEMORY_TEMP)
        self._put("throttle", "nvmlDeviceGetCurrentClocksEventReasons")
        self._put("power", "nvmlDeviceGetPowerUsage", make=lambda milliwatts: milliwatts / 1000)
        self._put("power_limit", "nvmlDeviceGetEnforcedPowerLimit", make=lambda milliwatts: milliwatts / 1000)

    def _links(self) -> None:
        lib = self.nvml.lib
        self._put("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth")
        self._put("pcie_width_max", "nvmlDeviceGetMaxPcieLinkWidth")
        self._put("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration")
        self._put("pcie_generation_max", "nvmlDeviceGetMaxPcieLinkGeneration")
        self._put("pcie_replays", "nvmlDeviceGetPcieReplayCounter")
        self._nvlinks()
        fabric = lib.c_nvmlGpuFabricInfo_v2_t()
        self._fill("fabric", "nvmlDeviceGetGpuFabricInfoV", fabric, lambda info: [info.state, info.status])

    def _nvlinks(self) -> None:
        """{"active": how many, "inactive": [which], "replay", "recovery", "crc": errors of all links}."""
        lib = self.nvml.lib
        of = f"GPU {self.facts['index']}: "
        links: Facts = {"active": 0, "inactive": [], "replay": 0, "recovery": 0, "crc": 0}
        counters = {
            "replay": lib.NVML_NVLINK_ERROR_DL_REPLAY,
            "recovery": lib.NVML_NVLINK_ERROR_DL_RECOVERY,
            "crc": lib.NVML_NVLINK_ERROR_DL_CRC_FLIT,
        }
        for link in range(lib.NVML_NVLINK_MAX_LINKS):
            state, error = self.nvml.ask(lib.nvmlDeviceGetNvLinkState, self.handle, link, of=of)
            if error in ("NOT_SUPPORTED", "INVALID_ARGUMENT"):
                break
            if error:
                self.facts["errors"]["nvlinks"] = error
                return
            links["active"] += bool(state)
            links["inactive"] += [] if state else [link]
            for name, counter in counters.items():
                count, _error = self.nvml.ask(lib.nvmlDeviceGetNvLinkErrorCounter, self.handle, link, counter, of=of)
                links[name] += count or 0
        self.facts["nvlinks"] = links

    def _modes(self) -> None:
        self._field("recovery_action", self.nvml.lib.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)
        self._put("persistence", "nvmlDeviceGetPersistenceMode", make=bool)
        self._put("ecc_mode", "nvmlDeviceGetEccMode", make=lambda modes: bool(modes[0]))
        self._put("mig", "nvmlDeviceGetMigMode", make=lambda modes: bool(modes[0]))
        self._put("clock", "nvmlDeviceGetClockInfo", self.nvml.lib.NVML_CLOCK_SM)
