# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups check themselves, stay for as long as they are asked to, and bring the state back; nothing else gets in."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import shutil
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from muster.model import Damaged, InvalidInput, MusterError, NotFound, StoreError
from muster.store import SCHEMA, DirectoryStore, Tables, back_up, backups, read_backup, restore
from tinydb import TinyDB

from .disk import content, holding, names, put, sound

packing = pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])


def documents(tables: DirectoryStore | Tables) -> dict[str, Any]:
    """What is in the state, but for what the store itself counts."""
    return {table: rows for table, rows in holding(tables).items() if table != "meta"}


def kept(store: DirectoryStore) -> list[int]:
    """The serials of the backups in the store, the newest last."""
    return [read_backup(path).serial for path in backups(store.path / "backups")]


def destroy(store: DirectoryStore) -> DirectoryStore:
    """Leave nothing of the state that can be used; the store as the next process finds it."""
    journal = [path for path in (store.path / "journal").iterdir()]
    for path in [store.path / "state.json", store.path / "state.json.backup", *journal]:
        path.touch(0o600)
        path.write_bytes(b"\x00garbage\xff" * 9)
    return DirectoryStore(store.path, tell=lambda _news: None)


@pytest.fixture
def filled(store: DirectoryStore) -> DirectoryStore:
    """Three transactions in."""
    put(store, {"name": "n1", "size": 1}, {"name": "n2"})
    put(store, {"id": "j1", "name": "ring"}, table="jobs")
    put(store, {"name": "n1", "size": 2})
    return store


@pytest.fixture
def other(tmp_path: Path) -> DirectoryStore:
    """The store of another cluster, which is further on."""
    found = DirectoryStore(tmp_path / "other")
    for number in range(6):
        put(found, {"name": f"o{number}"})
    return found


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


class TestRestoring:
    @packing
    def test_the_state_is_what_it_was_and_history_goes_on(self, filled: DirectoryStore, packed: bool) -> None:
        with filled.transaction(who="tester", why="launch") as draft:
            draft.next_epoch()
            draft.put("jobs", {"id": "j2", "name": "ring"})
        then, lineage = documents(filled), filled.read().lineage
        backup = back_up(filled, packed=packed).path
        with filled.transaction(who="tester", why="mistake") as draft:
            draft.next_epoch()
            draft.remove("nodes", ["n1", "n2"])
            draft.put("jobs", {"id": "j1", "name": "renamed"})
            draft.put("jobs", {"id": "j3", "name": "late"})
        assert restore(filled, backup, who="ann", force=True) == (True, 4)
        for view in (filled.read(), DirectoryStore(filled.path).read()):
            assert documents(view) == then
            assert (view.serial, view.lineage) == (6, lineage)
            assert view.epoch > 1000, "tokens that were given since are worth nothing any more"
            assert view.count("nodes") == 2
        last = list(filled.history())[-1]
        assert [record["serial"] for record in filled.history()] == [1, 2, 3, 4, 5, 6]
        assert (last["who"], last["why"]) == ("ann", f"restore {backup.name}, serial 4")
        assert {change["key"] for change in last["changes"]} == {"n1", "n2", "j1", "j3", "state"}
        assert sound(filled)

    def test_what_it_replaced_is_among_the_backups(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "n9"})
        replaced = documents(filled)
        restore(filled, backup, who="ann", force=True)
        assert kept(filled) == [3, 4]
        newest = backups(filled.path / "backups")[-1]
        assert documents(read_backup(newest)) == replaced
        assert restore(filled, newest, who="ann", force=True) == (True, 4)
        assert documents(filled) == replaced

    def test_a_second_time_changes_nothing(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "n9"})
        restore(filled, backup, who="ann", force=True)
        serial = filled.read().serial
        assert restore(filled, backup, who="ann", force=True) == (False, 3)
        assert filled.read().serial == serial

    def test_a_second_time_writes_nothing_either(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "n9"})
        restore(filled, backup, who="ann", force=True)
        before = content(filled.path)
        restore(filled, backup, who="ann", force=True)
        assert content(filled.path) == before

    def test_into_an_empty_directory_the_cluster_moves_whole(self, filled: DirectoryStore, tmp_path: Path) -> None:
        backup = back_up(filled).path
        moved = DirectoryStore(tmp_path / "new" / "place")
        assert restore(moved, backup, who="ann") == (True, 3)
        assert documents(moved) == documents(filled)
        assert moved.read().lineage == filled.read().lineage
        assert (moved.read().serial, moved.read().epoch >= 1000) == (4, True)
        put(moved, {"name": "n3"})
        assert names(DirectoryStore(moved.path)) == ["n1", "n2", "n3"]
        assert sound(moved)

    def test_the_state_of_another_cluster_is_refused_unless_forced(
        self, filled: DirectoryStore, other: DirectoryStore
    ) -> None:
        foreign = back_up(other).path
        before = content(filled.path)
        with pytest.raises(InvalidInput) as error:
            restore(filled, foreign, who="ann")
        assert f"{foreign} is the state of another cluster" in error.value.message
        assert other.read().lineage in error.value.message
        assert filled.read().lineage in error.value.message
        assert content(filled.path) == before
        assert restore(filled, foreign, who="ann", force=True) == (True, 6)
        assert documents(filled) == documents(other)
        assert filled.read().lineage == other.read().lineage
        assert filled.read().serial == 7
        put(filled, {"name": "later"})
        filled.compact(who="tester")
        assert [record["serial"] for record in filled.history()] == [1, 2, 3, 7, 8]
        assert kept(filled) == [3], "the cluster that was there before"
        assert sound(filled)

    def test_an_older_state_is_refused_unless_forced(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "n3"})
        put(filled, {"name": "n4"})
        before = content(filled.path)
        with pytest.raises(InvalidInput) as error:
            restore(filled, backup, who="ann")
        assert "is at serial 3" in error.value.message
        assert "has reached serial 5: 2 transactions would be undone" in error.value.message
        assert "muster state history" in error.value.hint
        assert content(filled.path) == before

    @pytest.mark.parametrize("force", [False, True])
    def test_a_rehearsal_says_the_same_and_writes_nothing(
        self, filled: DirectoryStore, other: DirectoryStore, force: bool
    ) -> None:
        backup, foreign = back_up(filled).path, back_up(other).path
        before = content(filled.path)
        assert restore(filled, backup, who="ann", force=force, dry_run=True) == (False, 3)
        put(filled, {"name": "n3"})
        for path, serial in ((backup, 3), (foreign, 6)):
            before = content(filled.path)
            if force:
                assert restore(filled, path, who="ann", force=True, dry_run=True) == (True, serial)
            else:
                with pytest.raises(InvalidInput):
                    restore(filled, path, who="ann", dry_run=True)
            assert content(filled.path) == before

    def test_a_rehearsal_where_nobody_has_written_makes_nothing(self, filled: DirectoryStore, tmp_path: Path) -> None:
        empty = DirectoryStore(tmp_path / "empty")
        assert restore(empty, back_up(filled).path, who="ann", dry_run=True) == (True, 3)
        assert not empty.path.exists()

    def test_if_what_is_replaced_cannot_be_backed_up_nothing_is_replaced(
        self, filled: DirectoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        backup = back_up(filled, to=tmp_path / "away").path
        put(filled, {"name": "n3"})
        before = content(filled.path)
        (filled.path / "backups").touch()  # where the directory would be
        with pytest.raises(StoreError, match="cannot be written"):
            restore(filled, backup, who="ann", force=True)
        (filled.path / "backups").unlink()
        assert content(filled.path) == before

    def test_no_backup_goes_because_of_a_restore(self, filled: DirectoryStore) -> None:
        for number in range(12):
            put(filled, {"name": "n1", "size": 100 + number})
            back_up(filled, keep=50)
        put(filled, {"name": "n9"})
        there = backups(filled.path / "backups")
        restore(filled, there[0], who="ann", force=True)
        assert set(backups(filled.path / "backups")) > set(there)

    def test_a_backup_of_an_earlier_schema_is_brought_forward(self, store: DirectoryStore, tmp_path: Path) -> None:
        old = tmp_path / "state.json"
        meta = {"key": "state", "schema": 1, "lineage": "c0ffee", "serial": 7, "epoch": 5}
        old.write_text(json.dumps({"meta": {"1": meta}, "nodes": {"1": {"name": "n1"}, "4": {"name": "n4"}}}))
        assert restore(store, old, who="ann") == (True, 7)
        assert names(store) == ["n1", "n4"]
        assert (store.read().lineage, store.read().serial) == ("c0ffee", 8)
        assert store.read().epoch > 5
        assert sound(store)

    @pytest.mark.parametrize(
        "packed",
        [False, True],
        ids=["plain", "packed"],
    )
    def test_a_link_to_a_backup_is_as_good(self, filled: DirectoryStore, tmp_path: Path, packed: bool) -> None:
        link = tmp_path / ("latest.json.gz" if packed else "latest.json")
        link.symlink_to(back_up(filled, packed=packed).path)
        assert restore(filled, link, who="ann") == (False, 3)


def newer(path: Path) -> None:
    path.write_text(json.dumps({"meta": {"1": {"key": "state", "schema": SCHEMA + 1}}}))


def of_a_newer_muster(path: Path) -> None:
    """As it would write it: all checksums are right."""
    text = path.read_bytes()
    mark = text.rindex(b'"_muster"')
    line = text[mark:].replace(b'"schema":%d' % SCHEMA, b'"schema":%d' % (SCHEMA + 1))
    body = line[line.index(b'{"schema"') : line.rindex(b',"crc"')]
    start = line[: line.index(b'{"schema"')]
    path.write_bytes(text[:mark] + start + body + b',"crc":"%08x"}}}\n' % zlib.crc32(body))


SPOILS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is damaged"),
    "text": (lambda path: path.write_text("root:x:0:0\n"), "is damaged"),
    "some JSON": (lambda path: path.write_text('{"nodes": {"1": {"name": "n1"}}}'), "is damaged"),
    "a list": (lambda path: path.write_text("[1, 2]"), "is damaged"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "is damaged"),
    "gone": (lambda path: path.unlink(), "cannot be read: No such file"),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
    "newer, of schema 1's shape": (newer, f"has schema {SCHEMA + 1}, and this Muster knows schemas up to {SCHEMA}"),
    "newer": (of_a_newer_muster, f"has schema {SCHEMA + 1}, and this Muster knows schemas up to {SCHEMA}"),
}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_no_backup_is_refused_even_by_force_and_nothing_changes(
    filled: DirectoryStore, tmp_path: Path, spoil: str, force: bool
) -> None:
    backup = back_up(filled, to=tmp_path / "backups").path
    put(filled, {"name": "n3"})
    change, sentence = SPOILS[spoil]
    change(backup)
    before = content(filled.path)
    for dry_run in (True, False):
        with pytest.raises(StoreError) as error:
            restore(filled, backup, who="ann", force=force, dry_run=dry_run)
        assert f"{backup} {sentence}" in str(error.value)
        assert "\n" not in str(error.value)
    assert content(filled.path) == before


@packing
def test_a_flipped_bit_anywhere_is_never_taken_for_a_right_state(
    filled: DirectoryStore, tmp_path: Path, packed: bool
) -> None:
    backup = back_up(filled, packed=packed).path
    good, whole = documents(filled), backup.read_bytes()
    chance, refused = random.Random(7), 0
    for _time in range(200):
        place, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        spoiled = bytearray(whole)
        spoiled[place] ^= bit
        backup.write_bytes(spoiled)
        try:
            assert documents(read_backup(backup)) == good, f"bit {bit} of byte {place}"
        except MusterError as error:
            assert "damaged" in str(error) or "schema" in str(error), f"bit {bit} of byte {place}"
            refused += 1
    assert refused > 190, "but for the few bytes of gzip's header that mean nothing"


class TestDestroyed:
    """Where snapshot, backup and journal are all garbage."""

    def test_every_command_says_so_and_changes_nothing(self, filled: DirectoryStore) -> None:
        filled = destroy(filled)
        before = content(filled.path)
        for attempt in (filled.read, lambda: put(filled, {"name": "n4"}), lambda: back_up(filled)):
            with pytest.raises(Damaged, match="holds no state that can be used") as error:
                attempt()
            assert "muster state restore FILE" in error.value.hint
            assert "sync.yml" in error.value.hint
        assert content(filled.path) == before

    @packing
    def test_a_backup_brings_it_back_and_the_remains_are_kept(self, filled: DirectoryStore, packed: bool) -> None:
        backup = back_up(filled, packed=packed).path
        then = documents(filled)
        put(filled, {"name": "lost"})
        filled = destroy(filled)
        remains = {
            name: data for name, data in content(filled.path).items() if not name.startswith(("backups", "lock"))
        }
        with pytest.raises(InvalidInput, match="is at serial 3, and .* has reached serial 4"):
            restore(filled, backup, who="ann")
        assert restore(filled, backup, who="ann", force=True) == (True, 3)
        assert documents(filled) == documents(DirectoryStore(filled.path)) == then
        assert filled.read().serial == 5, "past what was ever acknowledged"
        (aside,) = (filled.path / "damaged").iterdir()
        assert content(aside) == remains
        assert sound(filled)
        put(filled, {"name": "n3"})
        assert names(DirectoryStore(filled.path)) == ["n1", "n2", "n3"]

    def test_with_the_newest_backup_no_force_is_needed(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        filled = destroy(filled)
        assert restore(filled, backup, who="ann") == (True, 3)
        assert names(filled) == ["n1", "n2"]

    def test_a_damaged_backup_does_not_touch_even_the_ruins(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        backup.write_bytes(backup.read_bytes()[:-9])
        filled = destroy(filled)
        before = content(filled.path)
        with pytest.raises(Damaged):
            restore(filled, backup, who="ann", force=True)
        assert content(filled.path) == before

    def test_a_rehearsal_refuses_what_would_be_refused(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "lost"})
        filled = destroy(filled)
        with pytest.raises(InvalidInput, match="is at serial 3, and .* has reached serial 4"):
            restore(filled, backup, who="ann", dry_run=True)

    def test_no_token_is_given_twice_whatever_is_restored(self, store: DirectoryStore) -> None:
        given = []

        def launch() -> None:
            with store.transaction(who="tester", why="launch") as draft:
                given.append(draft.next_epoch())
                draft.put("jobs", {"id": f"j{len(given)}", "name": "ring"})

        put(store, {"name": "n1"})
        backup = back_up(store).path
        launch()
        for ruin in (False, True):
            store = destroy(store) if ruin else store
            restore(store, backup, who="ann", force=True)
            for _time in range(3):
                launch()
        assert given == sorted(set(given))

    def test_it_works_as_often_as_it_is_needed(self, filled: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        now = time.gmtime()
        monkeypatch.setattr(time, "gmtime", lambda: now)
        backup = back_up(filled, keep=99).path
        for _time in range(2):
            filled = destroy(filled)
            assert restore(filled, backup, who="ann", force=True)[0]
        assert len(list((filled.path / "damaged").iterdir())) == 2


class TestRecoveringFromBackups:
    """What readers do by themselves where `state.json` and the snapshot before are damaged."""

    @pytest.fixture
    def ruined(self, filled: DirectoryStore) -> Callable[[], DirectoryStore]:
        def ruin() -> DirectoryStore:
            for name in ("state.json", "state.json.backup"):
                (filled.path / name).write_bytes(b"garbage")
            return DirectoryStore(filled.path, tell=lambda _news: None)

        return ruin

    @packing
    def test_the_newest_good_backup_and_the_journal_since_lose_nothing(
        self, filled: DirectoryStore, ruined: Callable[[], DirectoryStore], packed: bool
    ) -> None:
        for number in range(3):
            put(filled, {"name": f"m{number}"})
            filled.compact(who="tester")
            back_up(filled, packed=packed)
        newest = backups(filled.path / "backups")[-1]
        newest.write_bytes(newest.read_bytes()[:-1])
        put(filled, {"name": "last"})
        then = holding(filled)
        min((filled.path / "journal").iterdir()).unlink()  # so that nothing can begin at the beginning
        found = ruined()
        assert holding(found) == then
        put(found, {"name": "more"})
        assert names(DirectoryStore(filled.path))[-2:] == ["last", "more"]
        assert len(list((filled.path / "damaged").iterdir())) == 2

    def test_the_next_change_mends_all_of_it(
        self, filled: DirectoryStore, ruined: Callable[[], DirectoryStore]
    ) -> None:
        filled.compact(who="tester")
        back_up(filled)
        put(ruined(), {"name": "n3"})
        assert sound(filled)

    def test_the_backup_of_another_cluster_is_no_beginning_of_this_journal(
        self, filled: DirectoryStore, other: DirectoryStore, ruined: Callable[[], DirectoryStore]
    ) -> None:
        for number in range(9):
            put(filled, {"name": f"m{number}"})
        then = documents(filled)
        back_up(other, to=filled.path / "backups")
        found = ruined()
        assert documents(found) == then
