# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a process is: its pid and when it started, so that a recycled pid is never taken for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process of this machine. `start_ticks` is field 22 of /proc/PID/stat: clock ticks from boot to its start."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this pid now; None if there is none, or only its zombie."""
        fields = stat(pid)
        return cls(pid, int(fields[19])) if fields and fields[0] != "Z" else None

    @classmethod
    def me(cls) -> Process:
        """The process that asks."""
        process = cls.of(os.getpid())
        assert process is not None
        return process

    def alive(self) -> bool:
        """Whether it still runs."""
        return Process.of(self.pid) == self


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
