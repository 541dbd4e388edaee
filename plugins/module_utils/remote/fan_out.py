# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call a node, all of them at once."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

MOST_AT_ONCE = 64

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Outcome(Generic[Answer]):
    """How one call ended: with a value or with an exception."""

    name: str
    value: Answer | None = None
    error: Exception | None = None

    def get(self) -> Answer:
        """The value.

        :raises Exception: what the call raised.
        """
        if self.error is not None:
            raise self.error
        return cast(Answer, self.value)


def fan_out(
    calls: Mapping[str, Callable[[], Answer]],
    on_outcome: Callable[[Outcome[Answer]], None] | None = None,
    at_once: int = MOST_AT_ONCE,
) -> dict[str, Outcome[Answer]]:
    """Run every call in a thread and give the outcomes in the order of ``calls``.

    An exception in one call is that call's outcome and disturbs no other. ``on_outcome`` is called in the caller's
    thread, as each outcome arrives. Ctrl-C is obeyed at once: calls that have not begun never do, and the threads of
    those under way do not keep the process alive.
    """
    waiting = deque(calls.items())
    done: queue.SimpleQueue[Outcome[Answer]] = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            try:
                name, call = waiting.popleft()
            except IndexError:
                return
            try:
                outcome = Outcome(name, value=call())
            except Exception as error:
                outcome = Outcome(name, error=error)
            done.put(outcome)

    outcomes: dict[str, Outcome[Answer]] = {}
    try:
        for number in range(min(at_once, len(calls))):
            # Ansible keeps the state of its templating and warnings in context variables, which threads do not inherit.
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(work,), name=f"fan-out-{number}", daemon=True).start()
        while len(outcomes) < len(calls):
            outcome = done.get()
            outcomes[outcome.name] = outcome
            if on_outcome is not None:
                on_outcome(outcome)
    finally:
        stopped.set()
    return {name: outcomes[name] for name in calls}
