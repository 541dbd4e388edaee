# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stopping an attempt: asking its supervisor, or doing its work if it is gone."""

from __future__ import annotations

import os
import signal
import time

from . import processes, record
from .clock import now
from .errors import TIMED_OUT, AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .layout import Layout

    Document = dict[str, Any]

KILL_PATIENCE_S = 15.0
ABORT_GRACE_S = 3.0
"""Or the job's own, if shorter: after a failure elsewhere the others wait for what will not come."""
LOOK_AGAIN_S = 0.05


def stop(
    layout: Layout, job: str, attempt: int | None, epoch: int | None, grace_s: float | None, reason: str
) -> tuple[Document, int]:
    """End everything that the job (or this attempt of it) has started here, and wait until nothing is left.

    Returns the status of the (latest) attempt, or None for a job that this node does not know, and the exit code. An
    attempt with a higher `epoch` than the caller knows of is not the caller's to stop. Raises AgentError.
    """
    status = None
    code = 0
    for _job, number in layout.attempts(job):
        if attempt in (None, number):
            status = _stop(layout, job, number, epoch, grace_s, reason)
            if status and (status["left"] or not record.ended(status)):
                code = TIMED_OUT
    answer: Document = {"attempt": status}
    if code and status:
        message = f"{status['left'] or 'some'} of the processes of job {job} cannot be killed"
        answer["error"] = {"code": "unkillable", "message": message, "hint": "drain the node and look at it"}
    return answer, code


def _stop(
    layout: Layout, job: str, attempt: int, epoch: int | None, grace_s: float | None, reason: str
) -> Document | None:
    status = record.look(layout, job, attempt)
    if status is None or (record.ended(status) and not status["left"]):
        return status
    if epoch is not None and epoch < status["epoch"]:
        message = f"job {job} runs here with epoch {status['epoch']}; this stop is of epoch {epoch}"
        raise AgentError("stale_epoch", message)
    if grace_s is None:
        grace_s = (record.read_json(record.spec_path(layout, job, attempt)) or {"grace_s": 10})["grace_s"]
    deadline = time.monotonic() + grace_s + KILL_PATIENCE_S
    asked = False
    while status and (status["left"] or not record.ended(status)) and time.monotonic() < deadline:
        supervisor = status["supervisor"]
        if not record.supervised(status):
            return _end_leftovers(layout, status, grace_s)
        if not asked:
            _ask(layout, status, grace_s, reason)
            asked = True
        processes.wait_gone(supervisor["pid"], supervisor["start_ticks"], min(1.0, deadline - time.monotonic()))
        status = record.look(layout, job, attempt)
    return status


def _ask(layout: Layout, status: Document, grace_s: float, reason: str) -> None:
    path = record.stop_path(layout, status["job"], status["attempt"])
    try:
        record.write_json(path, {"reason": reason, "grace_s": grace_s})
        os.kill(status["supervisor"]["pid"], signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has just ended by itself
    except PermissionError:
        message = f"job {status['job']} was started by another user of this node"
        raise AgentError("forbidden", message, "connect as that user, or as root (become)") from None


def _end_leftovers(layout: Layout, status: Document, grace_s: float) -> Document:
    """Do what the supervisor would have done, and close the record that it could not close."""
    warned: set[int] = set()
    kill_at = time.monotonic() + grace_s
    give_up = kill_at + KILL_PATIENCE_S
    left = record.leftovers(status)
    while left and time.monotonic() < give_up:
        for process in left:
            if time.monotonic() >= kill_at:
                processes.send(process, signal.SIGKILL)
            elif process.pid not in warned:
                warned.add(process.pid)
                processes.send(process, signal.SIGTERM)
        time.sleep(LOOK_AGAIN_S)
        left = record.leftovers(status)
    if not left:
        record.forget_secrets(layout, status["job"], status["attempt"])
    at = now()
    status.update(left=len(left), ended_at=status["ended_at"] or at, updated_at=at)
    record.write_json(record.status_path(layout, status["job"], status["attempt"]), status)
    return status
