# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking what may hang: an answer, or why there is none, and never a second process beside one that hangs."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from muster.agent import processes
from muster.agent.worker import Sample, Worker

from tests.frozen import Frozen

GONE_WITHIN_S = 30.0
"""A process that was sent SIGKILL needs the processor once more."""


@pytest.fixture
def make() -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def worker(question: Callable[[Callable[[str], None]], Any], **how: Any) -> Worker:
        made.append(Worker(question, **how))
        return made[-1]

    yield worker
    for one in made:
        one.close()


def sample(worker: Worker, deadline_s: float = 20.0) -> Sample:
    """Ask, and wait for what comes of it, as the daemon does."""
    refused = worker.ask(deadline_s)
    while refused is None:
        poll = select.poll()
        poll.register(worker.answers, select.POLLIN)
        poll.poll(worker.left_s * 1000 + 1)
        refused = worker.answer()
    return refused


def children() -> set[int]:
    return {one.pid for one in processes.descendants([os.getpid()])}


def fall_to(count: int, before: set[int]) -> None:
    """Wait until there are so many children beside those of before."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while len(children() - before) != count:
        assert time.monotonic() < deadline, children() - before
        time.sleep(0.02)


def test_it_answers_with_what_the_question_returns(make: Callable[..., Worker]) -> None:
    worker = make(lambda doing: {"pid": os.getpid(), "large": "x" * 200_000})
    found = sample(worker)
    assert (found.failure, len(found.facts["large"]), worker.busy) == (None, 200_000, False)
    assert found.facts["pid"] != os.getpid()
    assert found.duration_ms > 0


def test_it_stays_or_goes(make: Callable[..., Worker]) -> None:
    before = children()
    stays, goes = make(lambda doing: os.getpid(), stays=True), make(lambda doing: os.getpid())
    assert len({sample(stays).facts for _time in range(3)}) == 1
    assert len({sample(goes).facts for _time in range(3)}) == 3
    fall_to(1, before)
    stays.close()
    fall_to(0, before)


def test_an_error_is_told_as_what_it_is_and_the_process_serves_on(make: Callable[..., Worker]) -> None:
    asked: list[int] = []

    def question(doing: Callable[[str], None]) -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ValueError("no such thing")
        return "well"

    worker = make(question, stays=True)
    assert sample(worker).failure == "failed: ValueError: no such thing"
    assert sample(worker).facts == "well"


def test_one_that_hangs_is_killed_and_says_in_what(
    make: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.agent.worker.FAREWELL_S", GONE_WITHIN_S)

    def question(doing: Callable[[str], None]) -> None:
        doing("GPU 3: nvmlDeviceGetTemperature")
        time.sleep(600)

    worker = make(question, stays=True)
    found = sample(worker, 5.0)
    assert found.failure == "did not answer within 5 s (GPU 3: nvmlDeviceGetTemperature)"
    assert worker.stuck is None
    assert sample(worker, 5.0).failure == found.failure, "the next one is asked in its place"


def test_what_it_has_started_is_killed_with_it(make: Callable[..., Worker], tmp_path: Any) -> None:
    pid_file = tmp_path / "pid"

    def question(doing: Callable[[str], None]) -> None:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            pid_file.write_text(f"{os.getpid()} {processes.start_ticks(os.getpid())}")
            time.sleep(600)
        time.sleep(600)

    assert sample(make(question), 2.0).failure is not None
    pid, ticks = map(int, pid_file.read_text().split())
    assert processes.wait_gone(pid, ticks, GONE_WITHIN_S)


def test_one_that_crashes_says_how(make: Callable[..., Worker]) -> None:
    def question(doing: Callable[[str], None]) -> None:
        doing("nvmlInit")
        os.kill(os.getpid(), signal.SIGSEGV)

    worker = make(question, stays=True)
    assert sample(worker).failure == "was killed by signal 11 before it answered (nvmlInit)"
    assert sample(worker).failure == "was killed by signal 11 before it answered (nvmlInit)"


def test_it_hears_no_signals_of_its_parent_and_keeps_no_files(make: Callable[..., Worker], tmp_path: Any) -> None:
    with open(tmp_path / "lock", "w") as file:
        found = sample(make(lambda doing: sorted(os.listdir("/proc/self/fd")))).facts
        assert str(file.fileno()) not in found
    group = sample(make(lambda doing: os.getpgid(0))).facts
    assert group != os.getpgid(0)


def test_one_that_no_kill_ends_is_left_and_none_is_started_beside_it(
    make: Callable[..., Worker], file_system: Frozen
) -> None:
    def question(doing: Callable[[str], None]) -> str:
        doing("a write")
        with open(file_system.file, "w") as file:
            file.write("x")
        return "written"

    worker = make(question, stays=True)
    assert sample(worker).facts == "written"
    file_system.freeze()
    begun = time.monotonic()
    assert sample(worker, 1.0).failure == "did not answer within 1 s, and cannot be killed (a write)"
    stuck = worker.stuck
    assert stuck
    assert processes.lives(*stuck)
    before = children()
    for _time in range(3):
        failure = sample(worker, 1.0).failure
        assert failure
        assert failure.startswith("hangs for ")
        assert failure.endswith(" s in a write, and cannot be killed")
    assert children() == before, "no second one beside it"
    later = make(question)
    later.beware(*stuck)
    failure = sample(later, 1.0).failure
    assert failure
    assert "what an earlier monitor asked" in failure
    assert time.monotonic() - begun < 30
    file_system.thaw()
    deadline = time.monotonic() + 20
    while worker.stuck or later.stuck:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert sample(worker).facts == "written"
    assert sample(later).facts == "written"


def test_where_no_process_can_be_made_that_is_the_answer(
    make: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    worker = make(lambda doing: 1)
    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", refuse)
        assert sample(worker).failure == "cannot be asked: Resource temporarily unavailable"
    assert os.listdir("/proc/self/fd") == before
    assert sample(worker).facts == 1
