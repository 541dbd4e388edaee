# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the driver answers and has all the GPUs that this node is to have (checks `gpu.driver` to `gpu.idle`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import processes
from .ask import Ask
from .gpu_facts import GONE, Facts
from .result import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Result, Told

NO_LIBRARY = "LIBRARY_NOT_FOUND"
MISMATCH = "LIB_RM_VERSION_MISMATCH"
UNSUPPORTED = ("NOT_SUPPORTED", "FUNCTION_NOT_FOUND")

RECOVERY = {
    1: (CRITICAL, "a reset of the GPU", "drain the node, reset the GPU (nvidia-smi --gpu-reset), and clear the fault"),
    2: (CRITICAL, "a reboot of the node", "drain the node and reboot it"),
    3: (WARNING, "the end of peer-to-peer traffic", "let the jobs on this node end, then reset the GPU"),
    4: (CRITICAL, "a drain and a reset of the GPU", "drain the node, reset the GPU (nvidia-smi --gpu-reset)"),
    5: (CRITICAL, "the recovery of its IMEX domain", "drain the node, restart nvidia-imex on all nodes of the domain"),
    6: (CRITICAL, "a reset of its bus", "drain the node and reboot it"),
    7: (CRITICAL, "a reboot of the whole system", "drain the node, power it off and on"),
}
"""NVML_FI_DEV_GET_GPU_RECOVERY_ACTION (field 230): value -> status, what the driver asks for, action. DCGM fails a GPU
by the same values, and warns of 3."""


def name(gpu: Facts, ask: Ask) -> Told:
    """Return `entity` and `label` of a GPU: its uuid; the last one that was seen at its place, if it tells none."""
    known: dict[str, str] = ask.memory.setdefault("uuids", {})
    place = str(gpu["index"])
    known[place] = gpu.get("uuid") or known.get(place) or f"index-{place}"
    return {"entity": known[place], "label": f"GPU {place}"}


def each(facts: Facts, ask: Ask, key: str, judge: Callable[[Any, Facts], Result]) -> list[Result]:
    """Judge `key` of every GPU. What a GPU or its driver does not support is SKIPPED, any other error is UNKNOWN."""
    if nothing := unavailable(facts, ask):
        return [nothing]
    return [_told(gpu, key, judge)._replace(**name(gpu, ask)) for gpu in facts["gpus"]]


def _told(gpu: Facts, key: str, judge: Callable[[Any, Facts], Result]) -> Result:
    error = gpu["errors"].get("handle") or gpu["errors"].get(key)
    if error in GONE:
        return Result(UNKNOWN, f"GPU {gpu['index']} cannot be asked ({error})", "see gpu.lost")
    if error in UNSUPPORTED:
        return Result(SKIPPED, f"GPU {gpu['index']}, or its driver, does not tell")
    if error or key not in gpu:
        reason = f"GPU {gpu['index']}: NVML says {error or 'nothing'} when asked for {key.replace('_', ' ')}"
        return Result(UNKNOWN, reason, "look at nvidia-smi and dmesg on this node")
    return judge(gpu[key], gpu)


def unavailable(facts: Facts, ask: Ask) -> Result | None:
    """Return the one result of a check of GPUs on a node where there is none to look at, or that cannot be."""
    if facts["error"] == NO_LIBRARY and not expected(ask):
        return Result(SKIPPED, "a node without GPUs")
    if facts["error"]:
        return Result(UNKNOWN, f"NVML says {facts['error']}", "see gpu.driver")
    if not facts["gpus"]:
        return Result(UNKNOWN if expected(ask) else SKIPPED, "the driver knows no GPU", "see gpu.count")
    return None


def expected(ask: Ask) -> int | None:
    """Return how many GPUs this node is to have; None where nobody has said so."""
    return ask.settings.expect.gpus


def driver(facts: Facts, ask: Ask) -> list[Result]:
    error = facts["error"]
    if error is None:
        return [Result(OK, f"driver {facts['driver']} answers", value=facts["driver"])]
    if error == NO_LIBRARY and not expected(ask):
        return [Result(SKIPPED, "a node without GPUs")]
    if error == NO_LIBRARY:
        reason = f"{expected(ask)} GPUs are expected, and NVIDIA's library (libnvidia-ml.so.1) is not there"
        return [Result(CRITICAL, reason, "install the driver", value=error)]
    if error == MISMATCH:
        reason = "the library is of another version than the driver in the kernel, as after an upgrade"
        return [Result(CRITICAL, reason, "reboot the node", value=error)]
    reason = f"NVML does not start: {error}"
    return [Result(CRITICAL, reason, "look at dmesg; reload the driver, or reboot the node", value=error)]


def responsive(facts: Facts, ask: Ask) -> list[Result]:
    """That there are facts at all: a driver that hangs gives none, and no error either."""
    if facts["error"] == NO_LIBRARY and not expected(ask):
        return [Result(SKIPPED, "a node without GPUs")]
    return [Result(OK, "the driver answers in time")]


def version(facts: Facts, ask: Ask) -> list[Result]:
    wanted = ask.settings.expect.driver
    if wanted is None or facts["driver"] is None:
        return [Result(SKIPPED, "no version of the driver is asked for" if wanted is None else "see gpu.driver")]
    found = facts["driver"]
    if found == wanted:
        return [Result(OK, f"the driver is {found}", value=found, threshold=wanted)]
    reason = f"the driver is {found}, and {wanted} is expected"
    return [Result(WARNING, reason, "install the same driver on all nodes", value=found, threshold=wanted)]


def count(facts: Facts, ask: Ask) -> list[Result]:
    """The most that have been seen since the boot are expected, where the inventory does not say."""
    if facts["error"]:
        nothing = facts["error"] == NO_LIBRARY and not expected(ask)
        return [Result(SKIPPED, "a node without GPUs") if nothing else Result(UNKNOWN, "see gpu.driver")]
    found = len(facts["gpus"])
    wanted = expected(ask)
    if wanted is None:
        wanted = ask.memory["most"] = max(found, ask.memory.get("most", 0))
    told: Told = {"value": found, "unit": "GPUs", "threshold": wanted}
    if found < wanted:
        reason = f"{found} of {wanted} GPUs are there"
        return [Result(CRITICAL, reason, "reboot the node; if it comes back, have the GPU inspected", **told)]
    if found > wanted:
        reason = f"{found} GPUs are there, and {wanted} are expected"
        return [Result(WARNING, reason, "run sync.yml and monitor.yml, which enter what is there", **told)]
    return [Result(OK, f"all {found} GPUs are there", **told)]


def lost(facts: Facts, ask: Ask) -> list[Result]:
    if nothing := unavailable(facts, ask):
        return [nothing]
    found = []
    for gpu in facts["gpus"]:
        told = name(gpu, ask)
        errors = set(gpu["errors"].values())
        if "GPU_IS_LOST" in errors or gpu["errors"].get("handle") == "UNKNOWN":
            reason = f"{told['label']} has fallen off the bus"
            action = "reboot the node; if it comes back, have the GPU inspected"
            found.append(Result(CRITICAL, reason, action, value="lost", **told))
        elif "RESET_REQUIRED" in errors:
            reason = f"{told['label']} must be reset"
            action = "drain the node, reset the GPU (nvidia-smi --gpu-reset), and clear the fault"
            found.append(Result(CRITICAL, reason, action, value="reset required", **told))
        elif gpu["errors"].get("handle"):
            reason = f"{told['label']} cannot be opened: {gpu['errors']['handle']}"
            found.append(Result(UNKNOWN, reason, "look at nvidia-smi and dmesg on this node", **told))
        else:
            found.append(Result(OK, f"{told['label']} answers", value="here", **told))
    return found


def recovery_action(facts: Facts, ask: Ask) -> list[Result]:
    def judge(value: int, gpu: Facts) -> Result:
        if value == 0:
            return Result(OK, f"the driver asks for nothing for GPU {gpu['index']}", value=0)
        status, asked, action = RECOVERY.get(value, (CRITICAL, f"action {value}", "see the manual of the driver"))
        return Result(status, f"the driver asks for {asked} for GPU {gpu['index']}", action, value=value)

    return each(facts, ask, "recovery_action", judge)


def idle(facts: Facts, ask: Ask) -> list[Result]:
    """Whether something computes on a GPU that no job of Muster's holds: what a dead run has left, or a stranger."""

    def judge(pids: list[int], gpu: Facts) -> Result:
        alive = [pid for pid in pids if processes.read(pid)]
        if gpu.get("uuid") in facts.get("leased", ()) or not alive:
            return Result(OK, f"GPU {gpu['index']} is used by nobody else", value=0, unit="processes")
        who = ", ".join(str(pid) for pid in alive)
        reason = f"GPU {gpu['index']} is used by process {who}, and no job of Muster's holds it"
        return Result(WARNING, reason, "end it, or let Muster know of it", value=len(alive), unit="processes")

    return each(facts, ask, "processes", judge)


def modes(facts: Facts, ask: Ask) -> list[Result]:
    """Whether settings of the GPUs are as the inventory has them: those that it names."""
    wanted = ask.settings.expect.modes()
    if not wanted:
        return [Result(SKIPPED, "no settings of the GPUs are asked for")]
    if nothing := unavailable(facts, ask):
        return [nothing]
    found = []
    for gpu in facts["gpus"]:
        told = name(gpu, ask)
        unread = [key for key in wanted if key not in gpu]
        other = [
            f"{key} is {gpu[key]} and not {wanted[key]}" for key in wanted if gpu.get(key, wanted[key]) != wanted[key]
        ]
        if other:
            reason = f"{told['label']}: {', '.join(other)}"
            found.append(Result(WARNING, reason, "set it with nvidia-smi, and at every boot", **told))
        elif unread:
            found.append(Result(UNKNOWN, f"{told['label']} does not tell its {', '.join(unread)}", **told))
        else:
            found.append(Result(OK, f"{told['label']} is set as expected", **told))
    return found
