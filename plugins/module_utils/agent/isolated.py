# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a question in a process of its own: it may hang in a driver or a file system, crash, or give up its rights."""

from __future__ import annotations

import select

from .worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class NoAnswer(Exception):
    """The process ended without an answer, or had given none in time. The message is half a sentence."""


def ask(question: Callable[[], Any], timeout_s: float) -> Any:
    """Return what `question` returns (as JSON carries it). Raises NoAnswer.

    A process that a kill does not end (it waits in the kernel) is left behind rather than waited for.
    """
    worker = Worker(lambda doing: question())
    sample = worker.ask(timeout_s)
    poll = select.poll()
    poll.register(worker.answers, select.POLLIN)
    while sample is None:
        poll.poll(worker.left_s * 1000 + 1)
        sample = worker.answer()
    if sample.failure is not None:
        raise NoAnswer(sample.failure)
    return sample.facts
