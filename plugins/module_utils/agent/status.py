# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling how attempts stand, and waiting for the end of one."""

from __future__ import annotations

import time

from . import processes, record
from .errors import NO_SUCH_JOB, USAGE, AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .layout import Layout

    Document = dict[str, Any]

LONGEST_WAIT_S = 1.0


def read(layout: Layout, job: str | None, attempt: int | None, wait_end_s: float | None) -> list[Document]:
    """Return the status of all attempts, of those of a job, or of one. Raises AgentError.

    With `wait_end_s`, return as soon as that attempt (the latest of the job) has ended, and after so many seconds at
    most.
    """
    if job is None:
        if attempt is not None or wait_end_s is not None:
            raise AgentError("usage", "--attempt and --wait-end need --job", "--help shows all", USAGE)
        return _all(layout, layout.attempts())
    wanted = [(job, number) for _job, number in layout.attempts(job) if attempt in (None, number)]
    if not wanted:
        label = f"job {job}" if attempt is None else f"attempt {attempt} of job {job}"
        raise AgentError("no_such_job", f"this node has no {label}", "see `status` for those it has", NO_SUCH_JOB)
    if wait_end_s is not None:
        _wait_end(layout, *wanted[-1], time.monotonic() + wait_end_s)
    return _all(layout, wanted)


def survey(layout: Layout, also: list[tuple[str, int]]) -> list[Document]:
    """Return the status of every attempt that has not ended, or of which something is left, and of those in `also`
    whatever became of them. What this node does not know is not there."""
    found = _all(layout, layout.attempts())
    for status in found:
        if status["state"] == "lost" and not status["left"]:
            record.forget_secrets(layout, status["job"], status["attempt"])
    return [
        status
        for status in found
        if not record.ended(status) or status["left"] or (status["job"], status["attempt"]) in also
    ]


def _all(layout: Layout, wanted: list[tuple[str, int]]) -> list[Document]:
    found = (record.look(layout, job, attempt) for job, attempt in wanted)
    return [status for status in found if status is not None]


def _wait_end(layout: Layout, job: str, attempt: int, deadline: float) -> None:
    """The supervisor ends right after its record does: waiting for a process costs nothing and wakes at once."""
    while True:
        status = record.look(layout, job, attempt)
        left = deadline - time.monotonic()
        if status is None or record.ended(status) or left <= 0:
            return
        supervisor = status["supervisor"]
        processes.wait_gone(supervisor["pid"], supervisor["start_ticks"], min(left, LONGEST_WAIT_S))
