# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What NVIDIA's driver tells the kernel's log of faults: XIDs of GPUs, SXIDs of NVSwitches (check `gpu.xid`).

/dev/kmsg is read by whoever asks, without waiting: it is the one source that cannot hang, and that tells by itself when
there is news. Classes of XIDs: NVIDIA's catalogue, by what it says to do at once.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from typing import Any

from .ask import Ask
from .result import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Result, Told
from .settings import Settings

LINE = re.compile(r"(?:NVRM: Xid|SXid) \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d+)(?:, *(.*))?")
NOBODY = re.compile(r"(?:pid|name)='?<unknown>'?, *")
RECOVERY_ACTION_CHANGED = 154
KERNEL_FACILITY = 0
RECORD_BYTES = 8192
DAY_S, HOUR_S = 86400.0, 3600.0
MANY = 5
"""So many of one kind on one GPU within a day are a fault of the GPU, where one is perhaps of the program."""
KEPT = 200
ONE_FAULT_S = 60.0

RESET = frozenset((46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158))
REBOOT = frozenset((79, 151))
INSPECT = frozenset((48, 54, 74))
PROGRAM = frozenset(
    (8, 11, 13, 25, 31, 32, 39, 40, 41, 60, *range(68, 73), 75, 76, 77, 80, *range(82, 87), 88, 89, 94)
    + tuple(range(96, 106))
    + tuple(range(126, 136))
    + (139,)
)
IGNORED = frozenset((14, 37, 38, 43, 44, 45, 66, 67, 93, 106, 107, 108, 141, 152, 153, 154, 157, 160, 161))
ACTIONS = {
    CRITICAL: "drain the node and reset the GPU, or reboot; if it comes back, have it inspected",
    WARNING: "look at the program that ran; if it comes back with others, have the GPU inspected",
}


class KernelLog:
    """The records of the kernel's log that have not been read yet. A file that is none is read as the lines of one."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.wakes = not stat.S_ISREG(os.fstat(self.descriptor).st_mode)
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        """Return the events, oldest first: {"seq", "at" (seconds since boot), "device", "code", "switch", "text"}."""
        found = []
        while True:
            try:
                data = os.read(self.descriptor, RECORD_BYTES)
            except BlockingIOError:
                break
            except BrokenPipeError:  # records were overwritten before they were read; the next ones are there
                continue
            if not data:
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            found += [event for event in map(event_of, lines) if event]
        return found

    def close(self) -> None:
        os.close(self.descriptor)


def event_of(line: bytes) -> dict[str, Any] | None:
    """Return the event of one record, `priority,seq,microseconds,flags;text`; None where it has none. What programs
    have written to the log is not believed."""
    head, separator, text = line.decode(errors="replace").partition(";")
    match = LINE.search(text)
    if not separator or not match:
        return None
    try:
        priority, seq, microseconds = (int(word) for word in head.split(",")[:3])
    except ValueError:
        return None
    if priority >> 3 != KERNEL_FACILITY:
        return None
    return {
        "seq": seq,
        "at": microseconds / 1e6,
        "device": match[1].lower(),
        "code": int(match[2]),
        "switch": "SXid" in text,
        "text": NOBODY.sub("", match[3] or "").strip().rstrip(".")[:200],
    }


def read(settings: Settings, _doing: Callable[[str], None]) -> dict[str, Any]:
    """The facts, for who looks once: all that is in the log."""
    try:
        log = KernelLog(settings.kernel_log)
    except OSError as error:
        return unreadable(settings, error)
    try:
        return {"error": None, "events": log.read()}
    finally:
        log.close()


def unreadable(settings: Settings, error: OSError) -> dict[str, Any]:
    return {"error": f"{settings.kernel_log}: {error.strerror}", "events": []}


def severity(event: dict[str, Any], ask: Ask) -> str:
    """Return the class of one event, as the cluster's variables have it or NVIDIA's catalogue."""
    code, classes = event["code"], ask.settings.xid
    if event["switch"]:
        return WARNING if "non-fatal" in event["text"].lower() else CRITICAL
    for status in (CRITICAL, WARNING, OK):
        if code in classes.get(status, ()):
            return status
    if code in RESET | REBOOT | INSPECT:
        return CRITICAL
    if 144 <= code <= 150:  # NVLink 5; these say whether they are fatal
        return CRITICAL if re.search(r"\bfatal\b", event["text"].replace("Nonfatal", ""), re.IGNORECASE) else WARNING
    return OK if code in IGNORED else WARNING


def xid(facts: dict[str, Any], ask: Ask) -> list[Result]:
    """A latched fault of a GPU goes when the driver says (XID 154) that it asks for nothing any more."""
    if ask.settings.expect.gpus == 0:
        return [Result(SKIPPED, "a node without GPUs")]
    if facts["error"]:
        reason = f"the kernel's log cannot be read: {facts['error']}"
        return [Result(UNKNOWN, reason, "let the monitor run as root, or switch this check off")]
    devices: dict[str, list[list[Any]]] = ask.memory.setdefault("devices", {})
    mended = set()
    for event in facts["events"]:
        if event["seq"] <= ask.memory.get("seq", -1):
            continue
        ask.memory["seq"] = event["seq"]
        if event["code"] == RECOVERY_ACTION_CHANGED and re.search(r"to \S+ \(none\)", event["text"], re.IGNORECASE):
            devices[event["device"]] = []
            mended.add(event["device"])
            continue
        mended.discard(event["device"])
        status = severity(event, ask)
        if status != OK:
            told = [event["at"], event["code"], status, event["text"], event["switch"]]
            _enter(devices.setdefault(event["device"], []), told)
    spread = _spread(devices, ask.now)
    results = [Result(OK, "the kernel's log can be read, and has no fault of another GPU")]
    for device, events in sorted(devices.items()):
        recent = [one for one in events if ask.now - one[0] <= DAY_S]
        results.append(_of_device(device, recent, ask.now, spread)._replace(mended=device in mended))
    return results


def _enter(events: list[list[Any]], told: list[Any]) -> None:
    """Add an event; the many lines that the driver writes for one fault are one."""
    last = next((one for one in reversed(events) if one[1] == told[1]), None)
    if last and told[0] - last[0] <= ONE_FAULT_S:
        last[0] = told[0]
        return
    events.append(told)
    del events[:-KEPT]


def _spread(devices: dict[str, list[list[Any]]], now: float) -> set[int]:
    """The kinds of faults that programs cause and that several GPUs have had within a day: it is the program then."""
    seen = [{event[1] for event in events if now - event[0] <= DAY_S} for events in devices.values()]
    return {code for code in PROGRAM if sum(code in codes for codes in seen) > 1}


def forget(memory: dict[str, Any], device: str) -> None:
    """An operator has said that a GPU is mended: what was read of it does not count, and is not read again."""
    memory.get("devices", {}).pop(device, None)


def _of_device(device: str, events: list[list[Any]], now: float, spread: set[int]) -> Result:
    told: Told = {"entity": device, "label": f"GPU at {device}"}
    codes = [event[1] for event in events]
    many = [code for code in dict.fromkeys(codes) if codes.count(code) >= MANY and code not in spread]
    fatal = [event for event in events if event[2] == CRITICAL]
    fresh = [event for event in events if now - event[0] <= HOUR_S]
    if not fatal and not many and not fresh:
        return Result(OK, f"{told['label']}: no fault in the last hour", **told)
    chosen = (fatal or [event for event in events if event[1] in many] or fresh)[-1]
    status = CRITICAL if fatal or many else WARNING
    kind = "SXID" if chosen[4] else "XID"
    often = f", {codes.count(chosen[1])} times in a day" if codes.count(chosen[1]) > 1 else ""
    said = f": {chosen[3]}" if chosen[3] else ""
    return Result(
        status, f"{told['label']}: {kind} {chosen[1]}{often}{said}", _action(chosen[1], status), value=chosen[1], **told
    )


def _action(code: int, status: str) -> str:
    if code in REBOOT:
        return "drain the node and reboot it; if it comes back, have the GPU inspected"
    if code in RESET:
        return "drain the node and reset the GPU (nvidia-smi --gpu-reset); if it comes back, have it inspected"
    return ACTIONS[status]
