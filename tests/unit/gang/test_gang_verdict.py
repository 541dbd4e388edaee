# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about a job that nobody follows, by what its nodes say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from muster.gang import Report
from muster.gang.report import no_record
from muster.gang.verdict import UNDECIDED_FOR, Verdict, judge
from muster.model import Job

from .conftest import spec

RUNS = {"state": "running", "started_at": "2026-11-29T12:00:00Z"}
WAITS = {"state": "starting", "started_at": None}
SOON, LATE = timedelta(seconds=1), UNDECIDED_FOR + timedelta(seconds=1)


def decided(state: str, age: timedelta, **said: Any) -> Verdict:
    job = Job(id="02qmaa1cg9", name="gang", spec=spec(), state=state, created_at="2026-11-29T12:00:00Z")
    return judge(job, {name: Report(name, status) for name, status in said.items()}, age=age)


def test_a_node_that_answered_before_its_part_of_the_start_came_has_lost_nothing():
    """It was asked at the same moment as another, that answered when the gate had opened."""
    verdict = decided("STARTING", SOON, n2=no_record("n2"), n3=RUNS)
    assert (verdict.found, verdict.idle) == ("is being started", True)


def test_a_node_that_still_knows_nothing_of_a_start_when_that_must_be_over_has_lost_it():
    verdict = decided("STARTING", LATE, n2=no_record("n2"), n3=RUNS)
    assert verdict.end is not None
    assert (verdict.end.state, verdict.end.reason) == ("LOST", "lost n2: n2 has no record of it")


def test_a_node_that_knows_nothing_of_a_job_that_ran_has_lost_it():
    verdict = decided("RUNNING", SOON, n2=no_record("n2"), n3=RUNS)
    assert verdict.end is not None
    assert verdict.end.state == "LOST"


@pytest.mark.parametrize("said", [{"n2": WAITS, "n3": WAITS}, {"n2": no_record("n2"), "n3": WAITS}])
def test_a_start_is_left_to_who_starts_as_long_as_that_may_take(said):
    assert decided("STARTING", SOON, **said).idle
    assert not decided("STARTING", LATE, n2=no_record("n2"), n3=no_record("n3")).idle


def test_a_start_that_has_come_about_everywhere_is_entered():
    verdict = decided("STARTING", SOON, n2=RUNS, n3=RUNS)
    assert (verdict.runs, verdict.over) == (True, False)
