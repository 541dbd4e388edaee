# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is confirmed, what is latched, and what the node is worth by that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.agent.health.model import (
    BANDS,
    CALM_AFTER,
    FLAP_WINDOW_S,
    FLAPS_AFTER,
    Pace,
    Policy,
    Track,
    Verdict,
    cleared,
    judge,
    next_interval,
    step,
)
from muster.agent.health.result import CRITICAL, OK, SEVERITY, SKIPPED, STATUSES, UNKNOWN, WARNING

USUAL = Policy()
LATCH = Policy(latch=True, vital=True)


def after(*statuses: str, policy: Policy = USUAL, every_s: float = 3600.0) -> Track:
    """The track after these results; so far apart, unless told otherwise, that nothing flaps."""
    track = Track()
    for number, status in enumerate(statuses):
        track = step(track, status, number * every_s, policy)
    return track


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        ([], None),
        ([OK], OK),
        ([CRITICAL], None),
        ([CRITICAL] * 2, None),
        ([CRITICAL] * 3, CRITICAL),
        ([UNKNOWN] * 3, UNKNOWN),
        ([OK, CRITICAL, CRITICAL], OK),
        ([OK, CRITICAL, CRITICAL, OK, CRITICAL], OK),
        ([OK, CRITICAL, CRITICAL, CRITICAL], CRITICAL),
        ([OK, WARNING, CRITICAL, CRITICAL], WARNING),
        ([OK, WARNING, CRITICAL, CRITICAL, CRITICAL], CRITICAL),
        ([OK, UNKNOWN, WARNING, UNKNOWN], UNKNOWN),
        ([*[CRITICAL] * 3, OK, OK], CRITICAL),
        ([*[CRITICAL] * 3, OK, OK, OK], OK),
        ([*[CRITICAL] * 3, OK, WARNING, OK], WARNING),
        ([*[CRITICAL] * 3, *[WARNING] * 3], WARNING),
        ([*[WARNING] * 3, *[UNKNOWN] * 9], WARNING),
        ([*[UNKNOWN] * 3, OK, OK, OK], OK),
        ([*[CRITICAL] * 3, SKIPPED], SKIPPED),
        ([SKIPPED, OK], OK),
    ],
)
def test_several_results_in_a_row_make_a_state(statuses: list[str], state: str | None) -> None:
    assert after(*statuses).state == state


def test_a_latched_fault_needs_one_sample_and_does_not_pass_by_itself() -> None:
    assert after(OK, CRITICAL, policy=LATCH).state == CRITICAL
    assert after(CRITICAL, *[OK] * 99, policy=LATCH).state == CRITICAL
    assert after(OK, WARNING, policy=LATCH).state == OK, "only CRITICAL latches"


def test_somebody_who_knows_may_clear_a_latch_and_the_next_sample_tells() -> None:
    track = cleared(after(CRITICAL, policy=LATCH), 1.0)
    assert track.state is None
    assert step(track, OK, 2.0, LATCH).state == OK
    assert step(track, CRITICAL, 2.0, LATCH).state == CRITICAL
    assert cleared(after(OK), 1.0).state == OK, "there is nothing to clear"


def test_what_flaps_is_as_bad_as_its_worst() -> None:
    """No three results in a row say the same."""
    flapping = after(OK, *[CRITICAL, OK] * FLAPS_AFTER, every_s=10)
    assert (flapping.flapping, flapping.state) == (True, CRITICAL)


def test_a_latched_fault_does_not_go_by_not_being_looked_at() -> None:
    assert after(CRITICAL, SKIPPED, policy=LATCH).state == CRITICAL


def test_while_it_flaps_the_worse_state_holds() -> None:
    flapping = after(*[CRITICAL] * 3, *[OK, CRITICAL] * FLAPS_AFTER, every_s=10)
    assert flapping.flapping
    for number in range(3):
        flapping = step(flapping, OK, 200.0 + number, USUAL)
    assert flapping.state == CRITICAL
    later = FLAP_WINDOW_S + 300
    assert step(flapping, OK, later, USUAL).state == OK


@given(st.lists(st.sampled_from(STATUSES), max_size=40), st.sampled_from([USUAL, LATCH, Policy(recover_after=1)]))
def test_no_state_comes_from_nowhere(statuses: list[str], policy: Policy) -> None:
    """What is confirmed was seen; and a fault never goes by silence, or by fewer good results than it takes."""
    track = Track()
    for number, status in enumerate(statuses):
        before, track = track, step(track, status, number * 60.0, policy)
        assert track.state is None or track.state in statuses[: number + 1]
        if track.state == before.state or status == SKIPPED:
            continue
        assert not before.latched
        if SEVERITY[track.state or OK] < SEVERITY[before.state or OK]:
            assert status != UNKNOWN
            assert all(SEVERITY[one] < SEVERITY[before.state or OK] for one in track.recent[-policy.recover_after :])
        elif track.flapping:
            assert track.state in track.recent
        elif before.state is not None and not policy.latch and SEVERITY[before.state] < SEVERITY[track.state or OK]:
            assert all(SEVERITY[one] > SEVERITY[before.state] for one in track.recent[-policy.fail_after :])


def verdict(states: dict[str, str | None], **policies: Policy) -> Verdict:
    usual = {name: policies.get(name, USUAL) for name in states}
    return judge({name: Track(state=state) for name, state in states.items()}, usual)


VITAL = Policy(weight=5, vital=True)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ({}, "unknown"),
        ({"a": SKIPPED}, "unknown"),
        ({"a": OK}, "healthy"),
        ({"a": OK, "b": SKIPPED}, "healthy"),
        ({"a": OK, "vital": CRITICAL}, "unhealthy"),
        ({"a": OK, "vital": None}, "unknown"),
        ({"a": OK, "vital": WARNING}, "degraded"),
        ({**dict.fromkeys("abcdefghij", OK), "k": CRITICAL}, "degraded"),
        ({**dict.fromkeys("abcdefgh", OK), "k": CRITICAL}, "unhealthy"),
        ({**dict.fromkeys("abcdefghij", OK), "k": UNKNOWN}, "degraded"),
        ({**dict.fromkeys("abcdefgh", OK), "k": UNKNOWN}, "unknown"),
        ({**dict.fromkeys("abcdefgh", OK), "k": UNKNOWN, "vital": CRITICAL}, "unhealthy"),
        (dict.fromkeys("abcdefgh", WARNING), "degraded"),
        (dict.fromkeys("abcdefgh", UNKNOWN), "unknown"),
    ],
)
def test_nine_tenths_must_pass_and_no_vital_check_may_fail(states: dict[str, str | None], state: str) -> None:
    assert verdict(states, vital=VITAL).state == state


def test_the_worst_comes_first() -> None:
    states = {"a": WARNING, "b": CRITICAL, "vital": CRITICAL, "c": OK, "d": UNKNOWN}
    assert verdict(states, vital=VITAL).worst == ("vital", "b", "a", "d")


@given(st.dictionaries(st.sampled_from("abcdefghijkl"), st.sampled_from((None, *STATUSES)), max_size=12), st.data())
def test_the_score_never_contradicts_the_state(states: dict[str, str | None], data: st.DataObject) -> None:
    policies = {name: data.draw(st.sampled_from([USUAL, VITAL, Policy(weight=0)])) for name in states}
    found = verdict(states, **policies)
    if found.state == "unknown":
        assert found.score is None
    else:
        low, high = BANDS[found.state]
        assert found.score is not None
        assert low <= found.score <= high
    counted = [state for state in states.values() if state != SKIPPED]
    if found.state == "healthy":
        assert set(counted) == {OK}
    vital_fault = any(state == CRITICAL and policies[name].vital for name, state in states.items())
    assert not vital_fault or found.state == "unhealthy"


PACE = Pace()
SURE, UNSURE = after(OK), after(OK, CRITICAL)


def test_it_looks_more_often_while_it_is_unsure_and_more_seldom_while_all_is_calm() -> None:
    assert next_interval(PACE, 30, [SURE], 1, stuck=False) == 30
    assert next_interval(PACE, 30, [SURE, UNSURE], 0, stuck=False) == 5
    interval, seen = 30.0, []
    for rounds in range(CALM_AFTER, CALM_AFTER + 5):
        interval = next_interval(PACE, interval, [SURE], rounds, stuck=False)
        seen.append(interval)
    assert seen == [45, 67.5, 101.25, 120, 120]
    assert next_interval(PACE, 120, [SURE], 0, stuck=False) == 30
    stuck = 30.0
    for _round in range(5):
        stuck = next_interval(PACE, stuck, [UNSURE], 0, stuck=True)
    assert stuck == 300
