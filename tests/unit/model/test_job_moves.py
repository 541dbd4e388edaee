# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may happen to a job: the moves of the design, and no other."""

from typing import get_args

import pytest
from muster.model import ENDED, InvalidTransition, State, checked_transition

STATES = get_args(State)

MOVES = {
    ("QUEUED", "ALLOCATED"),
    ("QUEUED", "CANCELED"),
    ("QUEUED", "FAILED"),
    ("QUEUED", "LOST"),
    ("ALLOCATED", "STARTING"),
    ("ALLOCATED", "QUEUED"),
    ("ALLOCATED", "CANCELED"),
    ("ALLOCATED", "FAILED"),
    ("ALLOCATED", "LOST"),
    ("STARTING", "RUNNING"),
    ("STARTING", "CANCELED"),
    ("STARTING", "FAILED"),
    ("STARTING", "LOST"),
    ("RUNNING", "SUCCEEDED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELED"),
    ("RUNNING", "LOST"),
    ("FAILED", "QUEUED"),
    ("LOST", "QUEUED"),
    ("LOST", "RUNNING"),
    ("LOST", "SUCCEEDED"),
    ("LOST", "FAILED"),
}
"""DESIGN, section 3, written out; and what waits for its restart ends as before if it cannot have it."""


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_only_the_moves_of_the_design_are_allowed_and_a_refusal_names_both_states(before: State, after: State) -> None:
    if (before, after) in MOVES:
        assert checked_transition("0q5", before, after) == after
        return
    with pytest.raises(InvalidTransition) as refusal:
        checked_transition("0q5", before, after)
    assert str(refusal.value) == f"job 0q5 is {before} and cannot become {after}"


def test_a_job_that_succeeded_or_was_canceled_never_moves_again() -> None:
    assert {before for before, _after in MOVES} == set(STATES) - {"SUCCEEDED", "CANCELED"}


def test_an_ended_job_is_one_without_processes() -> None:
    assert set(STATES) - ENDED == {"QUEUED", "ALLOCATED", "STARTING", "RUNNING"}
