# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups: whole, checked, kept so many, and undisturbed by whoever else makes one."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from muster.model import Damaged, InvalidInput, NotFound, StoreError
from muster.store import DirectoryStore, back_up, backups, read_backup
from tinydb import TinyDB

from .backing import documents, kept, packing
from .disk import content, names, put


@pytest.fixture
def forgetful_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """While it is used, a backup of a node n3 does not come back as it was written."""

    def forgetful(directory: Path) -> None:
        newest = backups(directory)[-1]
        newest.write_bytes(newest.read_bytes().replace(b"n3", b"n4"))

    @contextmanager
    def used() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["muster.store.backups"], "sync_directory", forgetful)
            yield

    return used


class TestBackingUp:
    @packing
    def test_a_backup_is_the_whole_state_in_a_file_of_its_own_for_the_owner_alone(
        self, filled: DirectoryStore, tmp_path: Path, packed: bool
    ) -> None:
        before = os.umask(0)
        try:
            made = back_up(filled, to=tmp_path / "far" / "away", packed=packed)
        finally:
            os.umask(before)
        assert (made.serial, made.written, made.removed) == (3, True, [])
        assert made.path.parent == tmp_path / "far" / "away"
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
        assert [path.name for path in made.path.parent.iterdir()] == [made.path.name]
        shutil.rmtree(filled.path)
        tables = read_backup(made.path)
        assert (tables.serial, tables.changed["who"]) == (3, "tester")
        assert [row["size"] for row in tables.all("nodes") if row["name"] == "n1"] == [2]
        stock = tmp_path / "stock.json"
        stock.write_bytes(gzip.decompress(made.path.read_bytes()) if packed else made.path.read_bytes())
        with TinyDB(stock, access_mode="r") as db:
            assert {row["name"] for row in db.table("nodes")} == {"n1", "n2"}

    @packing
    def test_where_nothing_has_changed_since_the_newest_none_is_written(
        self, filled: DirectoryStore, packed: bool
    ) -> None:
        first = back_up(filled, packed=packed)
        filled.compact(who="tester")
        before = content(filled.path)
        again = back_up(filled, packed=not packed)
        assert (again.path, again.serial, again.written, again.removed) == (first.path, 3, False, [])
        assert content(filled.path) == before

    @packing
    def test_a_newest_one_that_is_damaged_counts_for_nothing(self, filled: DirectoryStore, packed: bool) -> None:
        first = back_up(filled, packed=packed).path
        first.write_bytes(first.read_bytes()[:-1])
        again = back_up(filled)
        assert again.written
        assert documents(read_backup(again.path)) == documents(filled)

    def test_the_newest_stay_and_only_those_of_this_cluster_go(
        self, filled: DirectoryStore, other: DirectoryStore, tmp_path: Path
    ) -> None:
        shared = tmp_path / "shared"
        foreign = back_up(other, to=shared).path
        (shared / "state-notes.json.txt").write_text("mine")
        made = []
        for number in range(5):
            put(filled, {"name": "n1", "size": 10 + number})
            made.append(back_up(filled, to=shared, keep=3, packed=number % 2 == 0))
        assert [len(one.removed) for one in made] == [0, 0, 0, 1, 1]
        assert [one.removed for one in made[3:]] == [[made[0].path], [made[1].path]]
        left = {path.name for path in shared.iterdir()}
        assert left == {foreign.name, "state-notes.json.txt", *(one.path.name for one in made[2:])}
        assert [read_backup(one.path).serial for one in made[2:]] == [6, 7, 8]

    @pytest.mark.parametrize("keep", range(1, 13))
    def test_as_many_stay_as_were_asked_for_and_no_fewer(self, filled: DirectoryStore, keep: int) -> None:
        made = []
        for number in range(10):
            put(filled, {"name": "n1", "size": 10 + number})
            made.append(back_up(filled, keep=keep).path)
            assert backups(filled.path / "backups") == made[-keep:]

    def test_elsewhere_it_needs_nothing_of_the_store_but_to_read_it(
        self, filled: DirectoryStore, tmp_path: Path
    ) -> None:
        before = {path: path.stat().st_mtime_ns for path in filled.path.rglob("*")}
        made = back_up(filled, to=tmp_path / "elsewhere")
        assert {path: path.stat().st_mtime_ns for path in filled.path.rglob("*")} == before
        assert list((tmp_path / "elsewhere").iterdir()) == [made.path]

    def test_one_that_is_damaged_is_not_one_that_stays(self, filled: DirectoryStore) -> None:
        made = []
        for number in range(4):
            put(filled, {"name": "n1", "size": 10 + number})
            made.append(back_up(filled).path)
        made[2].write_bytes(made[2].read_bytes()[:-1])
        put(filled, {"name": "n3"})
        last = back_up(filled, keep=3)
        assert last.removed == [made[0]]
        assert backups(filled.path / "backups") == [*made[1:], last.path], "three good ones"

    def test_a_rehearsed_backup_says_what_would_go_and_touches_nothing(self, filled: DirectoryStore) -> None:
        first = back_up(filled, keep=1)
        put(filled, {"name": "n3"})
        before = content(filled.path)
        foreseen = back_up(filled, keep=1, dry_run=True)
        assert (foreseen.serial, foreseen.written, foreseen.removed) == (4, True, [first.path])
        assert content(filled.path) == before

    def test_no_older_one_goes_before_the_new_one_was_read_again(
        self, filled: DirectoryStore, forgetful_disk: Callable[[], AbstractContextManager[None]]
    ) -> None:
        old = back_up(filled, keep=1).path
        put(filled, {"name": "n3"})
        with forgetful_disk(), pytest.raises(Damaged, match="is damaged: its checksum is wrong"):
            back_up(filled, keep=1)
        assert read_backup(old).serial == 3
        assert back_up(filled, keep=2).written, "what came out damaged is no backup"
        assert names(read_backup(backups(filled.path / "backups")[-1])) == ["n1", "n2", "n3"]

    def test_one_made_again_within_the_second_stays(
        self,
        filled: DirectoryStore,
        forgetful_disk: Callable[[], AbstractContextManager[None]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        back_up(filled, keep=1)
        put(filled, {"name": "n3"})
        now = time.gmtime()
        monkeypatch.setattr(time, "gmtime", lambda: now)
        with forgetful_disk(), pytest.raises(Damaged):
            back_up(filled, keep=1)
        assert back_up(filled, keep=1).path.exists()

    def test_many_at_the_same_moment_do_not_disturb_each_other(self, filled: DirectoryStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            for _round in range(5):
                put(filled, {"name": f"n{filled.read().serial}"})
                made = list(pool.map(lambda _turn: back_up(DirectoryStore(filled.path), keep=2), range(8)))
                assert [backup.written for backup in made].count(True) == 1
                assert {read_backup(backup.path).serial for backup in made} == {filled.read().serial}

    def test_a_full_disk_leaves_the_older_ones_and_nothing_half(
        self, filled: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        back_up(filled, keep=1)
        put(filled, {"name": "n3"})
        before = content(filled.path)

        def full(_handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch, pytest.raises(StoreError, match="cannot be written: No space left"):
            patch.setattr(os, "fsync", full)
            back_up(filled, keep=1)
        assert content(filled.path) == before
        assert back_up(filled, keep=1).removed

    @pytest.mark.parametrize("keep", [0, -1])
    def test_at_least_one_must_stay(self, filled: DirectoryStore, keep: int) -> None:
        back_up(filled)
        with pytest.raises(InvalidInput, match=f"keep is {keep}, and at least one backup must stay"):
            back_up(filled, keep=keep)
        assert kept(filled) == [3]

    def test_of_a_state_that_is_not_there_is_no_backup(self, store: DirectoryStore, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match=r"there is no state in .* to back up \(run sync.yml first"):
            back_up(store, to=tmp_path / "backups")
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_that_cannot_be_is_one_sentence(self, filled: DirectoryStore, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="cannot be written"):
            back_up(filled, to=tmp_path / "file")

    def test_a_damaged_state_is_backed_up_as_far_as_it_can_be_told(
        self, filled: DirectoryStore, told: list[str]
    ) -> None:
        filled.compact(who="tester")
        put(filled, {"name": "n3"})
        (filled.path / "state.json").write_bytes(b"{}")
        made = back_up(DirectoryStore(filled.path, tell=told.append))
        assert made.serial == 4
        assert names(read_backup(made.path)) == ["n1", "n2", "n3"]
        assert "state.json is damaged" in told[0]
