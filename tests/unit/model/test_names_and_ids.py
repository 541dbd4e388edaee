# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, ids and times: they sort as people expect."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from muster.model import iso, natural, nearest, new_job_id, parse

from tests.unit.samples import NOON


def test_gpu2_comes_before_gpu10() -> None:
    assert sorted(["gpu10", "gpu2", "gpu", "rack1-gpu3", "gpu2a"], key=natural) == [
        "gpu",
        "gpu2",
        "gpu2a",
        "gpu10",
        "rack1-gpu3",
    ]


@given(st.text(), st.text())
def test_any_two_names_can_be_ordered(one: str, other: str) -> None:
    assert (natural(one) < natural(other)) or (natural(other) <= natural(one))


def test_a_slip_of_the_pen_finds_what_was_meant() -> None:
    assert nearest("gpus_per_nod", ["nodes", "gpus_per_node"]) == "gpus_per_node"
    assert nearest("xyzzy", ["nodes", "gpus_per_node"]) is None


def test_job_ids_sort_by_time_and_are_safe_in_file_names() -> None:
    ids = [new_job_id(NOON + timedelta(seconds=second)) for second in range(0, 10**9, 10**7)]
    assert ids == sorted(ids)
    assert {len(identity) for identity in ids} == {10}
    assert set("".join(ids)) <= set("0123456789abcdefghjkmnpqrstvwxyz")


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_times_as_text_sort_as_times_do_and_come_back_the_same(one: datetime, other: datetime) -> None:
    assert parse(iso(one)) == one
    assert (iso(one) < iso(other)) == (one < other)


def test_times_are_utc_with_microseconds_whatever_zone_they_came_from() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert iso(NOON.astimezone(east)) == "2026-11-23T12:00:00.000000Z"
    assert parse("2026-11-23T17:30:00+05:30") == NOON
