# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dying at a step of the store: at a call of the operating system, and in the function that makes it."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import muster.store

HERE = str(Path(muster.store.__file__).parent)
CALLS = (
    *((os, call) for call in ("open", "write", "pwrite", "fdatasync", "fsync", "ftruncate", "fchmod")),
    *((os, call) for call in ("mkdir", "link", "replace", "rename", "unlink")),
    (fcntl, "flock"),
)
MOMENTS = {"before": 0, "at the beginning of": 20, "in the middle of": 2000, "after": 0}
"""When to die, and how many bytes are written by then, of a call that writes: half of them at most."""


class Steps:
    """What the store asks of the operating system in this process, counted from the moment when this is made.

    With ``last`` and ``moment``, the process is killed there: so many steps in.
    """

    def __init__(self, last: int = 0, moment: str = "") -> None:
        self.names: list[str] = []
        self._last = last
        self._moment = moment
        for module, call in CALLS:
            setattr(module, call, self._watched(getattr(module, call), call))

    def _watched(self, real: Callable[..., Any], call: str) -> Callable[..., Any]:
        def watched(*arguments: Any, **words: Any) -> Any:
            function = _caller()
            if function is None or (call == "open" and not arguments[1] & os.O_CREAT):
                return real(*arguments, **words)
            self.names.append(f"{call} in {function}")
            here = len(self.names) == self._last
            if here and self._moment == "before":
                _die()
            if here and MOMENTS[self._moment]:
                handle, data, *place = arguments
                real(handle, bytes(data)[: min(MOMENTS[self._moment], len(data) // 2)], *place)
                _die()
            try:
                return real(*arguments, **words)
            finally:
                if here:
                    _die()

        return watched


def _caller() -> str | None:
    """The function of the store that called, perhaps through the standard library."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals["__name__"] == "pathlib":
        frame = frame.f_back
    return frame.f_code.co_name if frame.f_code.co_filename.startswith(HERE) else None


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
