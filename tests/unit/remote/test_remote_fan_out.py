# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call a node, all at once."""

import contextvars
import signal
import subprocess
import sys
import threading

import pytest
from muster.remote import Outcome, fan_out


def test_all_calls_run_at_once_and_the_outcomes_keep_their_order() -> None:
    together = threading.Barrier(32, timeout=30)

    def call(number: int) -> int:
        together.wait()  # breaks unless all of them get here
        return number

    outcomes = fan_out({f"n{number}": lambda number=number: call(number) for number in range(32)})  # type: ignore[misc]
    assert [(name, outcome.get()) for name, outcome in outcomes.items()] == [(f"n{each}", each) for each in range(32)]


def test_one_exception_loses_no_other_outcome() -> None:
    def fail() -> int:
        raise ValueError("n2 is odd")

    outcomes = fan_out({"n1": lambda: 1, "n2": fail, "n3": lambda: 3})
    assert [outcomes["n1"].get(), outcomes["n3"].get()] == [1, 3]
    with pytest.raises(ValueError, match="n2 is odd"):
        outcomes["n2"].get()


def test_each_outcome_is_told_as_it_arrives_in_the_callers_thread() -> None:
    first_told = threading.Event()
    told: list[str] = []
    threads: set[threading.Thread] = set()

    def tell(outcome: Outcome[bool]) -> None:
        told.append(outcome.name)
        threads.add(threading.current_thread())
        first_told.set()

    outcomes = fan_out({"slow": lambda: first_told.wait(30), "quick": lambda: True}, tell)
    assert told == ["quick", "slow"]
    assert outcomes["slow"].get() and threads == {threading.current_thread()}


def test_no_more_run_at_once_than_allowed() -> None:
    lock = threading.Lock()
    running: list[int] = [0]
    most: list[int] = [0]

    def call() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        with lock:
            running[0] -= 1

    assert len(fan_out({str(number): call for number in range(100)}, at_once=3)) == 100
    assert most[0] <= 3


def test_calls_see_the_context_variables_of_the_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    assert fan_out({"n1": variable.get})["n1"].get() == "set"


def test_nothing_to_do_is_done() -> None:
    assert fan_out({}) == {}


def test_ctrl_c_ends_the_program_though_calls_hang() -> None:
    program = (
        "import threading; from muster.remote.fan_out import fan_out\n"
        "def hang():\n    print('hanging', flush=True)\n    threading.Event().wait()\n"
        "fan_out({'n1': hang})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"hanging\n"
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1]
