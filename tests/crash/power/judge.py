# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store turns out to be after a power failure, whatever was left of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from muster.model import Damaged
from muster.store import DirectoryStore, verify

from tests.crash.oracle import books, check_history, history
from tests.crash.worker import TINY, Clerk

JUDGE = "judge"
"""The clerk who writes after the power failure."""


@dataclass(frozen=True)
class Found:
    """A state of the bank (see ``tests/crash/worker.py``) in which nothing is there by half."""

    counts: Mapping[str, int] | None
    """How many transactions each clerk has made; None where the bank was not founded yet."""
    news: tuple[str, ...]
    """What a person was told."""
    lost: bool
    """Whether it was told, or is written in the history, that transactions were lost."""
    after: Mapping[str, int]
    """The same after the judge has written."""

    def check(self, least: Mapping[str, int], most: Mapping[str, int]) -> None:
        """Of each clerk at least so many transactions are there, and at most so many; -1: there need not be a bank."""
        for clerk in {*least, *(self.counts or {})}:
            count = -1 if self.counts is None else self.counts.get(clerk, 0)
            assert count >= least.get(clerk, 0), f"{clerk} was told of {least.get(clerk)}, {count} are there"
            assert count <= most.get(clerk, 0), f"{clerk} can have made {most.get(clerk, 0)}, {count} are there"


def judge(path: Path) -> Found:
    """Read the store at ``path``, write to it, and read it anew. Fails if that fails, if anything is there by half,
    and if not everything stays that was there. Of a store that says that it cannot be used, nothing else is asked."""
    news: list[str] = []
    try:
        counts, before = _read(path, news)
    except Damaged as damage:
        return Found(None, (str(damage),), True, {})
    clerk = Clerk(path, JUDGE, compact_bytes=TINY, tell=news.append)
    while not (number := clerk.act()[0]):  # the first founds the bank where there is none
        pass
    after, lost = _read(path, news)
    assert after is not None and after == {**(counts or {}), JUDGE: number}, (
        f"{counts} was read, {JUDGE} {number} written, and {after} is there"
    )
    assert not (problems := verify(path).problems), problems
    return Found(counts, tuple(news), before or lost or any(" is lost" in notice for notice in news), after)


def _read(path: Path, news: list[str]) -> tuple[dict[str, int] | None, bool]:
    """The books, and whether the history says that anything was lost."""
    tables = DirectoryStore(path, tell=news.append).read()
    records = history(path)
    if not any("after" in record for record in records):  # one that mends or restores does not follow from the others
        check_history(tables, records)
    if not tables.serial:
        assert not any(map(tables.count, tables.names())), "there was no transaction, and yet something is there"
        return None, False
    return books(tables), any("lost" in record for record in records)
