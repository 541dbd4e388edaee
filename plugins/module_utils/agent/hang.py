# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the ranks of a node still show signs of life: lines in a log, or use of what they were given.

A collective that waits for ever keeps every GPU "100 % utilized" by its spinning kernel, and a core busy for each rank;
it moves no memory. So a GPU counts as used when its memory controller is, and a processor only where no GPU was leased.
"""

from __future__ import annotations

import os
import time

from . import isolated, nvml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .processes import Process

LOOKS = 20  # so many in the time limit, and
LONGEST_PAUSE_S = 60.0
LEAST_GPU_PERCENT = 2
LEAST_CPU_SHARE = 0.05  # of one core, by one process: what waits for a message wakes up now and then
NVML_TIMEOUT_S = 5.0


class Vigil:
    """Looks again and again how long the ranks of this node have shown no sign of life."""

    def __init__(
        self, limit_s: float, logs: Iterable[str], gpus: list[str], processes: Callable[[], list[Process]]
    ) -> None:
        """`logs`: where the ranks write to; `gpus`: uuids; `processes`: of all that the job has started."""
        self._limit_s = limit_s
        self._logs = list(logs)
        self._gpus = gpus
        self._processes = processes
        self._sizes = self._written()
        self._used = self._cpu_seconds()
        self._looked = self._alive = time.monotonic()
        self.due = self._looked + self._pause()
        """When to look next (monotonic)."""

    def look(self) -> bool:
        """Whether there was no sign of life for the time limit."""
        now = time.monotonic()
        sizes, used = self._written(), {} if self._gpus else self._cpu_seconds()
        if sizes != self._sizes or (self._gpus_used() if self._gpus else self._cpu_used(used, now - self._looked)):
            self._alive = now
        self._sizes, self._used, self._looked = sizes, used, now
        self.due = now + self._pause()
        return now - self._alive >= self._limit_s

    def _pause(self) -> float:
        return min(LONGEST_PAUSE_S, self._limit_s / LOOKS)

    def _written(self) -> list[tuple[int, int]]:
        """Size and time of the last change of each log: one that is rotated, or written to anew, has changed too."""
        found = []
        for path in self._logs:
            try:
                facts = os.stat(path)
            except OSError:
                continue
            found.append((facts.st_size, facts.st_mtime_ns))
        return found

    def _gpus_used(self) -> bool:
        try:
            percents: list[int] = isolated.ask(lambda: nvml.memory_use(self._gpus), NVML_TIMEOUT_S)
        except isolated.NoAnswer:  # a driver that does not answer shows no life either
            return False
        return max(percents) >= LEAST_GPU_PERCENT

    def _cpu_seconds(self) -> dict[tuple[int, int], float]:
        return {(one.pid, one.start_ticks): one.cpu_s for one in self._processes()}

    def _cpu_used(self, used: dict[tuple[int, int], float], elapsed_s: float) -> bool:
        least = LEAST_CPU_SHARE * elapsed_s
        return any(seconds - self._used.get(process, 0.0) > least for process, seconds in used.items())
