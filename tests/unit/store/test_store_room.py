# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal is written into room made beforehand, so that a flush waits for nothing but the transaction itself."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from muster.store import DirectoryStore
from muster.store.files import Names
from muster.store.journal import ROOM_BYTES

from tests.unit.store.disk import names, put, sound

LONG_AGO = time.time_ns() - 10_000_000_000


def segment(store: DirectoryStore) -> Path:
    return max((store.path / "journal").glob("*.jsonl"))


def settled(directory: Path) -> None:
    """As if nothing had been put there for a while."""
    os.utime(directory, ns=(LONG_AGO, LONG_AGO))


def test_the_file_grows_only_when_its_room_is_full(store: DirectoryStore) -> None:
    sizes, turn = [], 0
    while len(set(sizes)) < 3:
        put(store, {"name": "n", "turn": turn, "text": "x" * 3000})
        sizes.append(segment(store).stat().st_size)
        turn += 1
    assert sorted(set(sizes)) == [ROOM_BYTES, 2 * ROOM_BYTES, 3 * ROOM_BYTES]
    assert sizes.count(ROOM_BYTES) > 10
    assert DirectoryStore(store.path).read().get("nodes", "n") == {"name": "n", "turn": turn - 1, "text": "x" * 3000}
    assert sound(store)


def test_a_transaction_longer_than_the_room_is_written_as_well(store: DirectoryStore) -> None:
    for turn in range(3):
        put(store, {"name": "n", "turn": turn, "text": "x" * (ROOM_BYTES + turn)})
    assert DirectoryStore(store.path).read().get("nodes", "n") == store.read().get("nodes", "n")
    assert segment(store).stat().st_size % ROOM_BYTES == 0
    assert sound(store)


def test_writers_use_the_room_that_others_made(store: DirectoryStore) -> None:
    other = DirectoryStore(store.path)
    for turn in range(20):
        put((store, other)[turn % 2], {"name": f"n{turn}"})
    assert names(store) == names(other) == [f"n{turn}" for turn in range(20)]
    assert segment(store).stat().st_size == ROOM_BYTES


def test_who_goes_on_writing_does_not_look_at_the_journal_from_outside(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux would note the time of the next write to it, which the flush would have to wait for."""
    put(store, {"name": "n1"})
    settled(store.path / "journal")
    put(store, {"name": "n2"})
    seen: list[str] = []
    for call in ("stat", "fstat", "lstat"):
        real = getattr(os, call)

        def look(what: object, *words: object, real: object = real, **more: object) -> object:
            seen.append(os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what))
            return real(what, *words, **more)  # type: ignore[operator]

        monkeypatch.setattr(os, call, look)
    put(store, {"name": "n3"})
    monkeypatch.undo()
    assert [path for path in seen if path.endswith(".jsonl")] == []
    assert seen != []


@pytest.mark.parametrize("before", ["never", "once"])
def test_a_journal_put_in_place_of_the_one_that_was_read_is_noticed(store: DirectoryStore, before: str) -> None:
    put(store, {"name": "n1"})
    settled(store.path / "journal")
    if before == "once":
        assert names(store) == ["n1"]
    copy = segment(store).with_name("copy")
    shutil.copy2(segment(store), copy)
    os.replace(copy, segment(store))
    put(DirectoryStore(store.path), {"name": "n2"})
    assert names(store) == ["n1", "n2"]
    put(store, {"name": "n3"})
    assert names(DirectoryStore(store.path)) == ["n1", "n2", "n3"]


class TestNames:
    def test_are_the_same_where_nothing_has_changed_for_a_while(self, tmp_path: Path) -> None:
        settled(tmp_path)
        looked = Names(tmp_path)
        assert [looked.same(), looked.same(), looked.same()] == [False, True, True]

    def test_are_others_after_a_file_was_made_renamed_or_removed(self, tmp_path: Path) -> None:
        looked, file = Names(tmp_path), tmp_path / "file"
        for change in (file.touch, lambda: file.rename(tmp_path / "other"), (tmp_path / "other").unlink):
            settled(tmp_path)
            looked.same()
            assert looked.same()
            change()
            assert not looked.same()

    @pytest.mark.parametrize("ago_ns", [0, 50_000_000])
    def test_may_have_changed_again_where_they_just_did(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ago_ns: int
    ) -> None:
        now = time.time_ns() // 2 * 2
        monkeypatch.setattr(time, "time_ns", lambda: now)
        looked, when = Names(tmp_path), now + 1 - ago_ns
        os.utime(tmp_path, ns=(when, when))
        assert [looked.same(), looked.same()] == [False, False]

    def test_may_have_changed_again_within_the_two_seconds_of_a_file_system_that_knows_no_shorter_time(
        self, tmp_path: Path
    ) -> None:
        looked, second = Names(tmp_path), 1_000_000_000
        when = (time.time_ns() // second - 1) * second
        os.utime(tmp_path, ns=(when, when))
        assert [looked.same(), looked.same()] == [False, False]

    def test_are_not_the_same_where_there_is_no_directory(self, tmp_path: Path) -> None:
        assert [Names(tmp_path / "no").same() for _turn in range(2)] == [False, False]
