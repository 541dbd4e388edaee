# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the processes of these tests do: they keep the books of a small bank, in which nothing can go missing unseen.

Each transaction moves money between two accounts (``nodes``), raises the counter of whoever makes it (``jobs``) and
notes the move in a table of the user's own (``ledger``), from which old rows are removed now and then. What must be
there follows from the counters alone, so that half a transaction shows whatever half it is.
"""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

from muster.store import Database, DirectoryStore, Draft, Tables
from tinydb import Query

from tests.crash.oracle import ACCOUNTS, KEPT, START, SWEEP, books, refuse

TINY = 3000
"""A journal of so many bytes, about four transactions, is folded into a new snapshot."""
NEVER = 1 << 40
PAD = 6000
"""Some records are longer than a page: a killed process may have written a part of one."""


@dataclass(frozen=True)
class Place:
    """Where a test keeps its store, and what its processes say."""

    directory: Path

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def said(self) -> Path:
        return self.directory / "said"

    def found(self) -> Place:
        """Make the bank, with all its money."""
        self.said.mkdir(parents=True)
        Clerk(self.store, "founder").act()
        return self


class Clerk:
    """One who makes transactions."""

    def __init__(
        self, path: Path, me: str, *, seed: int = 1, compact_bytes: int = NEVER, tell: Callable[[str], None] = refuse
    ) -> None:
        self.me = me
        self.store = DirectoryStore(path, compact_bytes=compact_bytes, tell=tell)
        self._database = Database(self.store, who=me)
        self._random = random.Random(seed)

    def counted(self) -> int:
        """How many transactions of this clerk the state has."""
        return count_of(self.store.read(), self.me)

    def act(self) -> tuple[int, int]:
        """One transaction: it moves money, or founds the bank where there is none. Its number among this clerk's,
        and its serial."""
        with self._database.transaction("move money") as draft:
            serial = draft.serial + 1
            return (self._move(draft) if draft.count("nodes") else self._found(draft)), serial

    def _found(self, draft: Draft) -> int:
        for account in range(ACCOUNTS):
            draft.put("nodes", {"name": f"account{account}", "balance": START, "moves": 0})
        return 0

    def _move(self, draft: Draft) -> int:
        amount = self._random.randint(1, 50)
        names = self._random.sample(range(ACCOUNTS), 2)
        number = count_of(draft, self.me) + 1
        for account, change in zip(names, (-amount, amount), strict=True):
            there = draft.get("nodes", f"account{account}")
            assert there is not None
            draft.put("nodes", there | {"balance": there["balance"] + change, "moves": there["moves"] + 1})
        draft.put("jobs", {"id": self.me, "count": number})
        ledger = self._database.table("ledger")
        note = "x" * PAD if number % 7 == 0 else ""
        ledger.insert({"clerk": self.me, "number": number, "amount": amount, "note": note})
        if number % SWEEP == 0:
            row = Query()
            ledger.remove((row.clerk == self.me) & (row.number <= number - KEPT))
        return number


def count_of(tables: Tables, clerk: str) -> int:
    """How many transactions of ``clerk`` the state has."""
    return int((tables.get("jobs", clerk) or {"count": 0})["count"])


def work(place: Place, me: str, seed: int, locked: bool = True, until: int | None = None) -> None:
    """Make transactions without end, or ``until`` the state has this serial, and acknowledge each when it returns."""
    if not locked:  # a store that breaks its promise: do the tests notice?
        fcntl.flock = lambda _handle, _operation: None
    clerk = Clerk(place.store, me, seed=seed, compact_bytes=TINY)
    said = os.open(place.said / me, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(said, b"%d 0\n" % clerk.counted())  # whoever reads it may rely on it: it must stay, too
    serial = 0
    while until is None or serial < until:
        number, serial = clerk.act()
        os.write(said, b"%d %d\n" % (number, serial))


def watch(place: Place, over: Event) -> None:
    """Read until it is ``over``, with a store that is kept and with fresh ones: the books always balance, and time
    goes forward only."""
    kept = DirectoryStore(place.store, tell=refuse)
    serial, counts = 0, dict[str, int]()
    while not over.is_set():
        for store in (kept, DirectoryStore(place.store, tell=refuse)):
            tables = store.read()
            now = books(tables)
            assert tables.serial >= serial, f"a reader went back from serial {serial} to {tables.serial}"
            assert all(now[clerk] >= count for clerk, count in counts.items()), f"{counts} became {now}"
            serial, counts = tables.serial, now
