# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eight writers, killed at random moments and started again, while others read."""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from muster.store import DirectoryStore

from tests.crash.oracle import acknowledged, check_rest, check_running, history, refuse
from tests.crash.processes import CONTEXT, Child
from tests.crash.worker import Place, watch, work

ROUNDS = int(os.environ.get("MUSTER_CRASH_ROUNDS", "200"))
WRITERS = 8
READERS = 2
LONGEST_S = 0.06
"""Between two kills: some transactions and a compaction."""


class Siege:
    """Writers, and readers who look at what they do."""

    def __init__(self, place: Place, seed: int, *, locked: bool = True) -> None:
        self.place = place
        self.kills = 0
        self.holders = 0
        """How often it was the one who held the lock, as far as the lock file said."""
        self._random = random.Random(seed)
        self._locked = locked
        self._store = DirectoryStore(place.store, tell=refuse)
        self._over = CONTEXT.Event()
        self._everybody = ExitStack()
        self._writers: dict[str, Child] = {}
        self._readers: list[Child] = []

    def __enter__(self) -> Siege:
        for number in range(WRITERS):
            self._start(f"w{number}")
        for number in range(READERS):
            self._readers.append(self._child(f"r{number}", watch, self.place, self._over))
        return self

    def __exit__(self, *_error: object) -> None:
        self._everybody.close()

    def kill(self) -> None:
        """One round: some time goes by, then one or all die, and others take their places."""
        time.sleep(self._random.uniform(0, LONGEST_S))
        for name in self._victims():
            self._writers[name].kill()
            self.kills += 1
            self._start(name)
        check_running(self._store, self.place.said)

    def end(self) -> None:
        """Kill all, and let the readers end."""
        for writer in self._writers.values():
            writer.kill()
        self._over.set()
        for reader in self._readers:
            reader.done()

    def _victims(self) -> list[str]:
        names = list(self._writers)
        dice = self._random.random()
        if dice < 0.05:
            return names
        holder = self._holder() if dice < 0.7 else None  # the others only wait, most of the time
        self.holders += holder is not None
        return [holder or self._random.choice(names)]

    def _holder(self) -> str | None:
        said = (self.place.store / "lock").read_bytes()
        try:
            pid = json.loads(said[said.index(b"{") :])["pid"]
        except ValueError:  # the next one is just writing it
            return None
        return next((name for name, writer in self._writers.items() if writer.pid == pid), None)

    def _start(self, name: str) -> None:
        self._writers[name] = self._child(name, work, self.place, name, self._random.getrandbits(32), self._locked)

    def _child(self, name: str, *what: object) -> Child:
        child = Child(self.place.directory / f"{name}.errors", *what)  # type: ignore[arg-type]
        self._everybody.callback(child.close)
        return child


def test_writers_killed_at_random_moments_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    place = Place(tmp_path).found()
    with Siege(place, seed=ROUNDS) as siege:
        while siege.kills < ROUNDS:
            siege.kill()
        siege.end()
    assert siege.holders > ROUNDS / 5, "those who only wait for the lock prove little"
    tables = check_rest(place.store, place.said)
    told = acknowledged(place.said)
    assert all(any(serial for _number, serial in lines) for lines in told.values()), "somebody never wrote"
    assert len(list((place.store / "journal").iterdir())) > ROUNDS / 10, "too few compactions to prove anything"
    # Some were killed between the write and the return: their transaction is there, and nobody was told.
    assert tables.serial - 1 > sum(1 for lines in told.values() for _number, serial in lines if serial)
    assert len(history(place.store)) == tables.serial


def test_a_store_without_its_lock_would_be_found_out(tmp_path: Path) -> None:
    place = Place(tmp_path).found()
    with pytest.raises(AssertionError), Siege(place, seed=1, locked=False) as siege:
        while siege.kills < ROUNDS:
            siege.kill()
        siege.end()
        check_rest(place.store, place.said)
