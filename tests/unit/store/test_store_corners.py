# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Corners: names that change hands, rows that must not fall, readers short of stack, a restore that has no room."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from muster.model import InvalidInput, StoreError
from muster.store import Database, DirectoryStore, back_up, restore, verify
from muster.store.lock import witness_in
from tinydb import where

from .disk import forked, names, put, sound


class TestNames:
    """A name that goes from one document to another within a transaction leads to the one that has it."""

    def two(self, store: DirectoryStore) -> Database:
        put(store, {"name": "a"}, {"name": "b"})
        return Database(store)

    def consistent(self, store: DirectoryStore) -> bool:
        for place in (store, DirectoryStore(store.path)):
            tables = place.read()
            for number, row in tables.items("nodes"):
                assert tables.number("nodes", row["name"]) == number
                assert tables.get("nodes", row["name"]) == row
            assert len(set(names(tables))) == tables.count("nodes")
        return sound(store)

    def test_two_swap_theirs(self, store: DirectoryStore) -> None:
        db = self.two(store)
        nodes = db.table("nodes")
        with db.transaction("swap"):
            nodes.update({"name": "t", "was": "a"}, where("name") == "a")
            nodes.update({"name": "a", "was": "b"}, where("name") == "b")
            nodes.update({"name": "b"}, where("name") == "t")
        assert store.read().get("nodes", "b") == {"name": "b", "was": "a"}
        assert self.consistent(store)
        put(store, {"name": "b", "size": 1})
        store.compact(who="tester")
        assert store.read().all("nodes") == [{"name": "b", "size": 1}, {"name": "a", "was": "b"}]
        assert self.consistent(store)

    def test_one_takes_that_of_a_removed_one(self, store: DirectoryStore) -> None:
        self.two(store)
        with store.transaction(who="tester", why="take over") as draft:
            draft.put("nodes", {"name": "a", "size": 1})
            draft.remove("nodes", ["b"])
            draft.write("nodes", 1, {"name": "b"})
        assert names(store) == ["b"]
        assert self.consistent(store)
        with store.transaction(who="tester", why="remove") as draft:
            assert draft.remove("nodes", ["b"]) == 1
        assert names(store) == []

    def test_a_restore_gives_the_names_back_to_the_numbers_that_they_had(self, store: DirectoryStore) -> None:
        self.two(store)
        backup = back_up(store).path
        with store.transaction(who="tester", why="remove") as draft:
            draft.remove("nodes", ["a", "b"])
        put(store, {"name": "b"}, {"name": "a"})
        restore(store, backup, who="ann", force=True)
        assert names(store) == ["a", "b"]
        assert self.consistent(store)


class TestEpoch:
    """The fencing token only rises, whatever is done through TinyDB."""

    @pytest.fixture
    def fenced(self, store: DirectoryStore) -> DirectoryStore:
        put(store, {"name": "n1"})
        for _time in range(3):
            with store.transaction(who="tester", why="allocate") as draft:
                draft.next_epoch()
        return store

    def test_dropping_all_tables_leaves_it(self, fenced: DirectoryStore) -> None:
        Database(fenced).drop_tables()
        assert (names(fenced), fenced.read().epoch) == ([], 3)

    @pytest.mark.parametrize(
        "change",
        [
            lambda meta: meta.truncate(),
            lambda meta: meta.remove(where("key") == "state"),
            lambda meta: meta.update({"epoch": 2}, where("key") == "state"),
            lambda meta: meta.update({"key": "other"}, where("key") == "state"),
        ],
        ids=["truncated", "removed", "lowered", "renamed"],
    )
    def test_its_row_can_neither_go_nor_fall(self, fenced: DirectoryStore, change: Callable[[Any], object]) -> None:
        with pytest.raises(InvalidInput, match="the epoch only rises"):
            change(Database(fenced).table("meta"))
        assert fenced.read().epoch == 3

    def test_a_note_beside_it_is_not_taken_for_one(self, fenced: DirectoryStore) -> None:
        meta = Database(fenced).table("meta")
        meta.update({"note": "x"}, where("key") == "state")
        meta.update({"a": 77}, where("key") == "state")
        assert (fenced.read().epoch, witness_in(fenced.path / "lock").epoch) == (3, 3)


def test_a_table_that_a_transaction_makes_is_there_within_it(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    db = Database(store)
    with db.transaction("make and drop"):
        db.table("notes").insert({"x": 1})
        assert db.tables() == {"nodes", "notes"}
        db.drop_tables()
        assert db.tables() == set()
    assert db.tables() == set()


def test_a_transaction_compares_with_what_it_has_done_itself(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    with store.transaction(who="tester", why="replace") as draft:
        draft.remove("nodes", ["n1"])
        draft.put("nodes", {"name": "n1", "size": 2}, rev=0)
    assert store.read().all("nodes") == [{"name": "n1", "size": 2}]


def test_what_is_no_number_is_no_change(store: DirectoryStore) -> None:
    for _time in range(2):
        put(store, {"name": "n1", "temperature": float("nan"), "list": [float("nan")]})
    assert store.read().serial == 1
    put(store, {"name": "n1", "temperature": 1.5, "list": [float("nan")]})
    assert store.read().serial == 2


class TestTooDeep:
    """Whoever has not the stack to read a transaction says so, and leaves it to others."""

    def nested(self, levels: int) -> Any:
        value: Any = 1
        for _level in range(levels):
            value = [value]
        return value

    def at_depth(self, depth: int, work: Callable[[], object]) -> object:
        return work() if depth == 0 else self.at_depth(depth - 1, work)

    @pytest.mark.parametrize("folded", [False, True])
    def test_nothing_is_taken_for_damage(self, store: DirectoryStore, told: list[str], folded: bool) -> None:
        put(store, {"name": "n1"})
        put(store, {"name": "deep", "value": self.nested(420)})
        if folded:
            store.compact(who="tester")
        other = DirectoryStore(store.path, tell=told.append)

        def work() -> None:
            put(other, {"name": "deep", "value": 1})

        with pytest.raises(StoreError, match="nested too deeply to be read here"):
            self.at_depth(600, work)
        assert told == []
        assert names(DirectoryStore(store.path)) == ["n1", "deep"]
        assert sound(store)


def test_a_restore_into_an_empty_directory_that_fails_leaves_an_empty_store(
    store: DirectoryStore, tmp_path: Path
) -> None:
    put(store, *({"name": f"n{number}", "note": "x" * 100} for number in range(30)))
    backup = back_up(store).path
    fresh = DirectoryStore(tmp_path / "fresh")

    def restore_with_little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(StoreError, match="File too large"):
            restore(fresh, backup, who="ann")

    assert forked(restore_with_little_room) == 0
    assert (fresh.read().serial, names(fresh)) == (0, [])
    put(fresh, {"name": "new"})
    assert sound(fresh)
    assert restore(fresh, backup, who="ann", force=True).changed
    assert len(names(fresh)) == 30


def test_a_restore_says_as_before_whether_it_changes_anything(store: DirectoryStore, tmp_path: Path) -> None:
    put(store, {"name": "n1"})
    twin = DirectoryStore(tmp_path / "twin")
    put(twin, {"name": "n1"})
    backup = back_up(twin).path
    assert restore(store, backup, who="ann", force=True, dry_run=True).changed
    assert restore(store, backup, who="ann", force=True).changed, "it is another cluster now"
    assert store.read().lineage == twin.read().lineage


def test_a_restore_of_an_empty_backup_into_an_empty_store_is_foreseen(store: DirectoryStore, tmp_path: Path) -> None:
    put(store, {"name": "n1"})
    with store.transaction(who="ann", why="empty it") as draft:
        draft.remove("nodes", ["n1"])
    backup = back_up(store).path
    fresh = DirectoryStore(tmp_path / "fresh")
    foreseen = restore(fresh, backup, who="ann", dry_run=True)
    assert restore(fresh, backup, who="ann").changed == foreseen.changed


def test_the_file_that_is_in_the_way_is_named_to_whoever_has_the_store_open(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    (store.path / "journal").rename(store.path / "aside")
    (store.path / "journal").write_text("in the way")
    for work in (store.read, lambda: put(store, {"name": "n2"})):
        with pytest.raises(StoreError, match=r"/journal/0+\.jsonl cannot be read: Not a directory"):
            work()


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("nowhere"), lambda path: path.mkdir(), lambda path: path.write_text("{}")]
)
def test_what_else_lies_among_the_backups_does_not_stop_recovery(
    filled: DirectoryStore, told: list[str], make: Callable[[Path], object]
) -> None:
    back_up(filled)
    make(filled.path / "backups" / "state-latest.json")
    make(filled.path / "backups" / f"state-{99:020d}-{filled.read().lineage[:8]}-20261101T000000Z.json")
    for path in filled.path.glob("state.json*"):
        path.unlink()
    recovered = DirectoryStore(filled.path, tell=told.append)
    assert names(recovered) == ["n1", "n2"]
    assert "is made again of" in told[0] and "nothing was lost" in told[0]


@pytest.mark.parametrize("kept", [0, 20, -1], ids=["empty", "cut", "without the line end"])
def test_a_segment_that_ends_in_its_first_line_is_a_torn_end(store: DirectoryStore, kept: int) -> None:
    put(store, {"name": "n1"})
    (segment,) = (store.path / "journal").iterdir()
    header = segment.read_bytes().partition(b"\n")[0]
    os.truncate(segment, len(header) if kept < 0 else kept)
    (store.path / "lock").unlink()
    assert verify(store.path).problems in ([], [f"{store.path} holds no state: run sync.yml, or name the store"])
    put(DirectoryStore(store.path), {"name": "n2"})
    assert names(DirectoryStore(store.path)) == ["n2"]
    assert sound(store)
