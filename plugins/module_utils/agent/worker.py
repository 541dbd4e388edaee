# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that asks what may hang, so that whoever waits for the answer never does.

A Python that waits for a thread or a child that hangs in the kernel never ends; so nothing here waits: the process is
given a deadline, killed, and if that does not end it, remembered, and no second one is started beside it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import time

from . import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PAGE_BYTES = 512
GOODBYE_S = 0.02
FAREWELL_S = 0.2
"""How long a process that has answered, and one that was killed, may take to end before it is left to itself."""


class Sample:
    """What a process has answered: `facts`, or why there are none, as the end of a sentence that begins with whom it
    has asked."""

    __slots__ = ("duration_ms", "facts", "failure")

    def __init__(self, facts: Any = None, failure: str | None = None, duration_ms: float = 0.0) -> None:
        self.facts = facts
        self.failure = failure
        self.duration_ms = duration_ms


class Worker:
    """Asks `question(doing)` in a process of its own, which stays for the next time if `stays`."""

    def __init__(self, question: Callable[[Callable[[str], None]], Any], *, stays: bool = False) -> None:
        self._question = question
        self._stays = stays
        self._page = mmap.mmap(-1, PAGE_BYTES)  # shared with the process: what it is doing
        self._pid: int | None = None
        self._ticks: int | None = None
        self._requests = -1
        self.answers = -1
        """The descriptor that has something to read when there is an answer; -1 if none is awaited."""
        self._text = b""
        self._asked_at = 0.0
        self._deadline = 0.0
        self._past: list[int] = []
        self._stuck: tuple[int, int | None, float, str] | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._deadline > 0

    @property
    def alive(self) -> bool:
        """Whether its process is there, and need not begin from nothing."""
        return self._pid is not None

    @property
    def left_s(self) -> float:
        """How long it may still take to answer."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def stuck(self) -> tuple[int, int | None] | None:
        """The (pid, start ticks) of the process that could not be killed, as long as it is there."""
        if self._stuck:
            _status(self._stuck[0], 0.0)
            if not processes.lives(*self._stuck[:2]):
                self._stuck = None
        return self._stuck and self._stuck[:2]

    def beware(self, pid: int, ticks: int | None) -> None:
        """An earlier daemon has left this process, that it could not kill."""
        if processes.lives(pid, ticks):
            self._stuck = (pid, ticks, time.monotonic(), "what an earlier monitor asked")

    def ask(self, deadline_s: float) -> Sample | None:
        """Send the question, to be answered within `deadline_s`. Returns a sample only if it cannot be asked."""
        if self.stuck and self._stuck:
            since = time.monotonic() - self._stuck[2]
            doing = self._stuck[3] or "its first step"
            return Sample(failure=f"hangs for {since:.0f} s in {doing}, and cannot be killed")
        self._past = [pid for pid in self._past if _status(pid, 0.0) is None]
        if self._pid is None:
            try:
                self._start()
            except OSError as error:  # no process, memory or descriptor is left: something to tell, and to survive
                return Sample(failure=f"cannot be asked: {error.strerror}")
        self._asked_at = time.monotonic()
        self._deadline = self._asked_at + deadline_s
        with contextlib.suppress(BrokenPipeError):
            os.write(self._requests, b"?")
        return None

    def answer(self) -> Sample | None:
        """Return the answer if it has come, or why none will; None if it is still awaited."""
        spent_ms = round((time.monotonic() - self._asked_at) * 1000, 3)
        part = b""
        with contextlib.suppress(BlockingIOError):
            part = os.read(self.answers, 1 << 20)
            if not part:
                return Sample(failure=self._ended(), duration_ms=spent_ms)
        self._text += part
        line, end, rest = self._text.partition(b"\n")
        if end:
            self._text = rest
            self._deadline = 0.0
            if not self._stays:
                pid = self._let_go()
                if _status(pid, GOODBYE_S) is None:
                    self._past.append(pid)
            said = json.loads(line)
            return Sample(said.get("facts"), said.get("failure"), spent_ms)
        if time.monotonic() < self._deadline:
            return None
        within = self._deadline - self._asked_at
        doing = self._doing()
        how = ", and cannot be killed" if not self._kill(doing) else ""
        return Sample(failure=f"did not answer within {within:g} s{how}{_in(doing)}", duration_ms=spent_ms)

    def close(self) -> None:
        """End it, without waiting for it."""
        if self._pid is not None:
            self._kill(self._doing())

    def _start(self) -> None:
        opened: list[int] = []
        try:
            for _pipe in range(2):
                opened += os.pipe()
            requests, self._requests, self.answers, answers = opened
            os.set_blocking(self.answers, False)
            self._page[:] = bytes(PAGE_BYTES)
            self._text = b""
            parent = os.getpid()
            pid = os.fork()
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            self._requests = self.answers = -1
            raise
        if pid == 0:
            self._serve(requests, answers, parent)
        os.close(requests)
        os.close(answers)
        self._pid, self._ticks = pid, processes.start_ticks(pid)

    def _serve(self, requests: int, answers: int, parent: int) -> None:
        """The process's own life; it ends with its parent."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
            processes.close_all_but(requests, answers)
            while os.getppid() == parent and os.read(requests, 1):
                try:
                    text = json.dumps({"facts": self._question(self._say)})
                except Exception as error:  # handed to the asking process, as what it is
                    text = json.dumps({"failure": f"failed: {type(error).__name__}: {error}"[:1000]})
                data = text.encode() + b"\n"
                while data:
                    data = data[os.write(answers, data) :]
        finally:
            os._exit(0)

    def _say(self, what: str) -> None:
        data = what.encode(errors="replace")[: PAGE_BYTES - 1]
        self._page[: len(data) + 1] = data + b"\0"

    def _doing(self) -> str:
        return self._page[:].partition(b"\0")[0].decode(errors="replace")

    def _ended(self) -> str:
        """It has closed its end: how."""
        doing, ticks = self._doing(), self._ticks
        pid = self._let_go()
        status = _status(pid, FAREWELL_S)
        if status is None:
            self._stuck = (pid, ticks, time.monotonic(), doing)
            return f"hangs while it ends{_in(doing)}"
        how = f"was killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
        return f"{how} before it answered{_in(doing)}"

    def _let_go(self) -> int:
        """Close the pipes, and return the pid: a process that only waits for a question ends by that."""
        pid, self._pid = self._pid or 0, None
        os.close(self._requests)
        os.close(self.answers)
        self._requests = self.answers = -1
        self._deadline = 0.0
        return pid

    def _kill(self, doing: str) -> bool:
        """Kill it and all that it has started; whether it is gone."""
        ticks = self._ticks
        pid = self._let_go()
        for process in processes.descendants([pid]):
            processes.send(process, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if _status(pid, FAREWELL_S) is None:
            self._stuck = (pid, ticks, time.monotonic(), doing)
            return False
        return True


def _in(doing: str) -> str:
    return f" ({doing})" if doing else ""


def _status(pid: int, patience_s: float) -> int | None:
    """Return how our child has ended; None if it has not within that time."""
    until = time.monotonic() + patience_s
    while True:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # somebody has waited for it already
            return 0
        if found:
            return status
        if time.monotonic() >= until:
            return None
        time.sleep(0.005)
