# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long, and since when, as people write it; what could be meant in two ways is not guessed at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.model import InvalidInput, duration, iso, moment, parse

from tests.unit.samples import NOON

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("1h", HOUR),
        ("1.5h", 1.5 * HOUR),
        ("2d", timedelta(days=2)),
        ("4w", timedelta(days=28)),
        ("0s", timedelta(0)),
        (" 2 Days ", timedelta(days=2)),
        ("5 min", timedelta(minutes=5)),
        ("10 minutes", timedelta(minutes=10)),
        ("1 hour", HOUR),
        ("3 weeks", timedelta(weeks=3)),
    ],
)
def test_a_length_of_time_is_a_number_with_a_unit(text: str, meant: timedelta) -> None:
    assert duration(text) == meant


AMBIGUOUS = ["2 months", "6mo", "3 millennia", "500ms", "1 decade", "10 dogs", "2 watts"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "h",
        "-1h",
        "1e3s",
        "1,5h",
        "1h30m",
        "yesterday",
        "1y",
        "1 year",
        "\N{ARABIC-INDIC DIGIT ONE}h",
        *(text for text in AMBIGUOUS),
    ],
)
def test_anything_else_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        duration(text)
    assert str(error.value) == f"{text!r} is no length of time (write it as 30m, 1h, 2d or 4w)"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1h", NOON - HOUR),
        ("2026-11-23T11:00:00.000000Z", NOON - HOUR),
        ("2026-11-23T11:00:00Z", NOON - HOUR),
        ("2026-11-23T12:30+01:30", NOON - HOUR),
        ("2026-11-23T11:00", NOON - HOUR),
        ("2026-11-23 11:00:00", NOON - HOUR),
        ("2026-11-23", NOON - 12 * HOUR),
    ],
)
def test_a_moment_is_how_long_ago_or_iso_8601_in_utc_unless_it_says(text: str, meant: datetime) -> None:
    assert moment(text, NOON) == meant


@given(st.datetimes(timezones=st.just(UTC)))
def test_whatever_the_state_writes_is_understood_as_that_moment(then: datetime) -> None:
    assert moment(iso(then), NOON) == parse(iso(then)) == then


@pytest.mark.parametrize("text", ["999999w", "99999999999999999999d", "9" * 400 + "s", "0001-01-01T00:00:00+14:00"])
def test_what_is_beyond_the_calendar_is_refused_like_anything_else(text: str) -> None:
    with pytest.raises(InvalidInput):
        iso(moment(text, NOON))


@given(st.text())
def test_no_text_whatever_is_a_traceback(text: str) -> None:
    try:
        assert moment(text, NOON).tzinfo
    except InvalidInput as error:
        assert "\n" not in error.hint
