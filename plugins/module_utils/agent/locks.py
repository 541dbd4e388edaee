# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who uses which GPU or slot of this node, whatever the state elsewhere says: one flock(2) each.

The supervisor holds the locks, so they end with it, however it ends. The file's text outlives the lock:

    {"epoch": 7, "lineage": null, "holder": {"job": "0q5k2mx7d4", "attempt": 1, "epoch": 7} or null}

`epoch` is the highest that this GPU or slot has served: a start that carries a lower one is out of date (fencing). A
`holder` without a lock died without tidying up, and its ranks may still be there.
"""

from __future__ import annotations

import fcntl
import json
import os

from . import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .layout import Layout

    Document = dict[str, Any]
    Problem = dict[str, str]


class Locks:
    """The locks of one attempt, from `take` to `release`."""

    def __init__(self, layout: Layout, spec: Document) -> None:
        self._layout = layout
        self._spec = spec
        self._held: dict[str, tuple[int, Document]] = {}

    def take(self) -> list[Problem]:
        """Take every lock of the spec that can be had; return why the others cannot (`locked`, `stale_epoch`)."""
        problems = []
        for label, file_name in self._wanted():
            problem = self._take(label, os.path.join(self._layout.locks, file_name))
            if problem:
                problems.append(problem)
        return problems

    def confirm(self) -> None:
        """The attempt starts: from now on its epoch is the least that these GPUs and slots serve."""
        for handle, seen in self._held.values():
            seen.update(epoch=self._spec["epoch"], lineage=self._spec["lineage"])
            _write(handle, {**seen, "holder": self._holder()})

    def release(self) -> None:
        """Nothing of the attempt is left: give the GPUs and slots back."""
        for handle, seen in self._held.values():
            _write(handle, {**seen, "holder": None})
            os.close(handle)
        self._held.clear()

    def _wanted(self) -> list[tuple[str, str]]:
        gpus = [(f"GPU {uuid}", uuid.replace("/", "_")) for uuid in self._spec["gpus"]]
        return gpus + [(f"slot {number}", f"slot-{number}") for number in self._spec["slots"]]

    def _holder(self) -> Document:
        return {key: self._spec[key] for key in ("job", "attempt", "epoch")}

    def _take(self, label: str, path: str) -> Problem | None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(handle)["holder"]
            os.close(handle)
            return {"code": "locked", "message": f"{label} is in use by {_name(holder)}"}
        seen = _read(handle)
        problem = self._stale(label, seen) or self._haunted(label, seen["holder"])
        if problem:
            os.close(handle)
            return problem
        seen.pop("holder")
        _write(handle, {**seen, "holder": self._holder()})
        self._held[path] = (handle, seen)
        return None

    def _stale(self, label: str, seen: Document) -> Problem | None:
        if seen["lineage"] != self._spec["lineage"] or seen["epoch"] <= self._spec["epoch"]:
            return None
        message = f"{label} has already served epoch {seen['epoch']}; this start is of epoch {self._spec['epoch']}"
        return {"code": "stale_epoch", "message": message}

    def _haunted(self, label: str, holder: Document | None) -> Problem | None:
        if not holder:
            return None
        status = record.look(self._layout, holder["job"], holder["attempt"])
        if status is None or not status["left"]:
            return None
        ghost = f"its supervisor is gone, but {status['left']} of its processes are left (`stop` ends them)"
        return {"code": "locked", "message": f"{label} is still in use by {_name(holder)}: {ghost}"}


def holders(layout: Layout) -> dict[str, Document]:
    """Return which job holds which GPU or slot, by file name; what a dead supervisor has left is held by nobody.

    No lock is tried for it: a start at that moment would fail.
    """
    found = {}
    try:
        names = os.listdir(layout.locks)
    except OSError:
        return {}
    for file_name in names:
        try:
            handle = os.open(os.path.join(layout.locks, file_name), os.O_RDONLY)
        except OSError:
            continue
        holder = _read(handle)["holder"]
        os.close(handle)
        status = record.look(layout, holder["job"], holder["attempt"]) if holder else None
        if holder and status and not record.ended(status):
            found[file_name] = holder
    return found


def _name(holder: Document | None) -> str:
    if not holder:
        return "another job"
    return f"job {holder['job']} (attempt {holder['attempt']}, epoch {holder['epoch']})"


def _read(handle: int) -> Document:
    try:
        found = json.loads(os.pread(handle, 4096, 0))
        return {key: found[key] for key in ("epoch", "lineage", "holder")}
    except (ValueError, KeyError, TypeError):
        return {"epoch": 0, "lineage": None, "holder": None}


def _write(handle: int, document: Document) -> None:
    text = json.dumps(document).encode() + b"\n"
    os.pwrite(handle, text, 0)
    os.ftruncate(handle, len(text))
