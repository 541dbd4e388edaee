# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times, sizes and lists of nodes as people say them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.cli.words import age, folded, memory, spans, took
from muster.model import iso

from tests.unit.samples import NOON


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "just now"),
        (-5, "just now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (47 * 3600, "47 h ago"),
        (48 * 3600, "2 days ago"),
        (86400 * 400, "400 days ago"),
    ],
)
def test_how_long_ago(seconds: float, words: str) -> None:
    assert age(iso(NOON - timedelta(seconds=seconds)), NOON) == words


def test_what_never_was() -> None:
    assert age(None, NOON) == "never"
    assert took(None, None, NOON) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (0.25, "0.2 s"),
        (59.94, "59.9 s"),
        (65, "1 min 05 s"),
        (3720, "1 h 02 min"),
        (86400 + 7200, "1 d 02 h"),
    ],
)
def test_how_long(seconds: float, words: str) -> None:
    end = NOON + timedelta(seconds=seconds)
    assert took(iso(NOON), iso(end), NOON) == words
    assert took(iso(NOON), None, end) == words, "and until now, while it goes on"


def test_how_much() -> None:
    assert [memory(mib) for mib in (0, 512, 15360, 81559)] == ["0 MiB", "512 MiB", "15 GiB", "80 GiB"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], ""),
        (["login"], "login"),
        (["gpu1"], "gpu1"),
        (["gpu1", "gpu2", "gpu3", "gpu10"], "gpu[1-3,10]"),
        (["gpu08", "gpu09", "gpu10"], "gpu10, gpu[08-09]"),
        (["r1-n1", "r1-n2", "r2-n1"], "r1-n[1-2], r2-n1"),
        (["a1.example.org", "a2.example.org", "b"], "a[1-2].example.org, b"),
    ],
)
def test_names_with_runs_drawn_together(names: list[str], words: str) -> None:
    assert folded(names) == words


@given(st.sets(st.from_regex(r"(gpu|r1-n|x)[0-9]{1,3}(\.a)?", fullmatch=True)))
def test_no_name_is_lost_or_made_up_by_folding(names: set[str]) -> None:
    unfolded = set()
    for word in re.findall(r"[^,\s\[]+(?:\[[^\]]*\])?[^,\s]*", folded(names)):
        before, bracket, rest = word.partition("[")
        if not bracket:
            unfolded.add(word)
            continue
        inner, _bracket, after = rest.partition("]")
        for run in inner.split(","):
            first, _dash, last = run.partition("-")
            for number in range(int(first), int(last or first) + 1):
                unfolded.add(f"{before}{number:0{len(first) if first.startswith('0') else 0}d}{after}")
    assert unfolded == names


@given(st.sets(st.integers(0, 50)))
def test_no_number_is_lost_or_made_up_by_drawing_runs_together(numbers: set[int]) -> None:
    found = set()
    for run in filter(None, spans(numbers).split(", ")):
        first, _dash, last = run.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers
