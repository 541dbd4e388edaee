# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's GPUs as the driver knows them, through pynvml (NVML).

NVML may hang or crash with its driver, so callers ask in a process of its own: see `isolated`. pynvml takes 0.1 s to
load from the packed file; nothing else may import it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    Document = dict[str, Any]

MIB = 1024 * 1024


def read() -> Document:
    """Return {"gpus": [...], "nvml": {"status", "detail", "driver"}}.

    `absent` means that there is no NVML library: a node without GPUs. Everything else that goes wrong is an `error`,
    even of one GPU among many: the others are still listed.
    """
    try:
        import pynvml
    except ImportError:
        return _answer([], "error", "pynvml is not part of this agent", None)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return _answer([], "absent", None, None)
    except pynvml.NVMLError as error:
        return _answer([], "error", f"NVML does not start: {error}", None)
    gpus = []
    errors = []
    driver = None
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                gpus.append(_gpu(pynvml, index))
            except pynvml.NVMLError as error:
                errors.append(f"GPU {index}: {error}")
    except pynvml.NVMLError as error:
        errors.append(str(error))
    return _answer(gpus, "error" if errors else "ok", "; ".join(errors) or None, driver)


def missing(uuids: list[str]) -> list[str]:
    """Return a sentence for each of these GPUs (or MIG devices) that the driver cannot give."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return ["pynvml is not part of this agent, so the leased GPUs cannot be found"]
    except pynvml.NVMLError as error:
        return [f"NVML does not start, so the leased GPUs cannot be found: {error}"]
    sentences = []
    for uuid in uuids:
        try:
            pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            sentences.append(f"GPU {uuid} is not there any more (NVML says {error}; sync.yml enters what is)")
    return sentences


def processes_on(uuids: list[str], but: Collection[int] = ()) -> list[str]:
    """Return a sentence for each of these GPUs on which something computes, other than these processes. Nothing, where
    that cannot be told."""
    import pynvml

    pynvml.nvmlInit()
    sentences = []
    for uuid in uuids:
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            found = [one for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle) if one.pid not in but]
        except pynvml.NVMLError:  # a GPU that is gone is told by `missing`
            continue
        if found:
            named = ", ".join(f"process {one.pid}{_command(one.pid)}" for one in found)
            sentences.append(f"GPU {uuid} is used by {named}, which is of no job of Muster's that is known here")
    return sentences


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""


def memory_use(uuids: list[str]) -> list[int]:
    """Return for each of these GPUs in how many percent of the last moment its memory was read or written; 0 for one
    that does not tell."""
    import pynvml

    pynvml.nvmlInit()
    found = []
    for uuid in uuids:
        try:
            found.append(pynvml.nvmlDeviceGetUtilizationRates(pynvml.nvmlDeviceGetHandleByUUID(uuid)).memory)
        except pynvml.NVMLError:
            found.append(0)
    return found


def _gpu(pynvml: Any, index: int) -> Document:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    try:
        mig = pynvml.nvmlDeviceGetMigMode(handle)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    except pynvml.NVMLError:
        mig = None  # a GPU, or a driver, without MIG
    try:
        memory_mib = pynvml.nvmlDeviceGetMemoryInfo(handle).total // MIB
    except pynvml.NVMLError_NotSupported:
        memory_mib = 0  # a GPU that shares the machine's memory
    return {
        "index": index,
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "model": pynvml.nvmlDeviceGetName(handle),
        "memory_mib": memory_mib,
        "pci": pynvml.nvmlDeviceGetPciInfo(handle).busId,
        "mig": mig,
    }


def _answer(gpus: list[Document], status: str, detail: str | None, driver: str | None) -> Document:
    return {"gpus": gpus, "nvml": {"status": status, "detail": detail, "driver": driver}}
