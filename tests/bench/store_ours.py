# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Muster's store: as the library uses it, through TinyDB's API, and its own way for heartbeats."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from muster.store import Database, DirectoryStore
from muster.store.directory import COMPACT_BYTES, COMPACT_SHARE
from tinydb import where
from tinydb.table import Table

from .store_fleet import Change, Document, address_of, at, meet, name_of, sicken
from .store_way import WHO, Way, found, none

NEVER = 1 << 60
"""A journal longer than this is folded: none is."""
LONGEST_LINE = 1 << 10


class Ours(Way):
    """``DirectoryStore``. Three directories: ``state`` is written, ``compacted`` has no journal, ``long`` the longest
    that there can be."""

    label = "ours"

    def fill(self, documents: list[Document]) -> None:
        self.begin(documents)
        for copy in ("state", "long"):
            shutil.copytree(self.place / "compacted", self.place / copy)
        store, turns = self._store("long"), count()
        self._lengthen(store, turns)
        store.compact(who=WHO)  # which leaves a segment as long to be packed by the next
        self._lengthen(store, turns)

    def begin(self, documents: list[Document]) -> DirectoryStore:
        """A state without a journal, whose beginning is history that is packed already."""
        store = self._store("compacted")
        with store.transaction(who=WHO, why="sync") as draft:
            for document in documents:
                draft.put("nodes", document)
        store.compact(who=WHO)
        with store.transaction(who=WHO, why="launch") as draft:
            draft.next_epoch()
        store.compact(who=WHO)
        return store

    def settle(self, turn: int) -> None:
        self.store = self._store("state")
        self.store.compact(who=WHO)
        self.quiet = self._store("compacted")
        self.beat(0, turn)

    def update(self, turn: int) -> None:
        self._change(sicken, self.picked(turn), turn)

    def beat(self, number: int, turn: int) -> None:
        self._change(meet, number, turn)

    def beat_all(self, turn: int) -> None:
        with self.store.transaction(who=WHO, why="heartbeat") as draft:
            for document in draft.all("nodes"):
                meet(document, turn)
                draft.put("nodes", document)

    def reopened_update(self, turn: int) -> None:
        self.store = self._store("state")
        self.update(turn)

    def reopened_lookup(self, turn: int) -> Document:
        return found(self._store("compacted").read().get("nodes", name_of(self.picked(turn))))

    def long_lookup(self, turn: int) -> Document:
        return found(self._store("long").read().get("nodes", name_of(self.picked(turn))))

    def loaded_lookup(self, turn: int) -> Document:
        query = where("address") == address_of(self.picked(turn))
        (document,) = self._store("compacted").read().search("nodes", query)
        return document

    def all_documents(self, _turn: int) -> list[Document]:
        return self._store("compacted").read().all("nodes")

    def scan_text(self, _turn: int) -> None:
        none(self.quiet.read().search("nodes", where("interface") == "ib9"))

    def scan_number(self, _turn: int) -> None:
        none(self.quiet.read().search("nodes", where("cpus") > 10_000))

    def before_compaction(self, turn: int) -> None:
        shutil.rmtree(self.place / "scratch", ignore_errors=True)
        shutil.copytree(self.place / "long", self.place / "scratch")
        os.sync()
        self.long = self._store("scratch")
        self._change_in(self.long, sicken, self.picked(turn), turn)

    def compaction(self, _turn: int) -> None:
        self.long.compact(who=WHO)

    def updates_a_compaction(self) -> int:
        return len(lines_of(self.place / "long")) - 1

    def touch_one(self) -> None:
        """What memory is measured of: a process that reads one node and changes one."""
        self.reopened_lookup(0)
        self.reopened_update(-2)

    def touch_all(self) -> None:
        """One that has all in its memory and, where there is compaction, does it."""
        self.loaded_lookup(0)
        self.long = self._store("scratch")
        self.long.compact(who=WHO)

    def before_touch_all(self) -> None:
        shutil.rmtree(self.place / "scratch", ignore_errors=True)
        shutil.copytree(self.place / "long", self.place / "scratch")

    def race(self, worker: int) -> Callable[[int], None]:
        """What a writer among others does again and again; compaction as anybody has it."""
        store = DirectoryStore(self.place / "state")
        return lambda turn: self._change_in(store, sicken, worker, turn)

    def lookup(self, number: int) -> Document:
        """The node as it is now."""
        return found(self._store("state").read().get("nodes", name_of(number)))

    def _lengthen(self, store: DirectoryStore, turns: Iterator[int]) -> None:
        """Change as much as there can be without a compaction."""
        limit = max(COMPACT_BYTES, (store.path / "state.json").stat().st_size // COMPACT_SHARE)
        for turn in turns:
            self._change_in(store, sicken, self.picked(turn), turn)
            if sum(map(len, lines_of(store.path))) > limit - LONGEST_LINE:
                break

    def _store(self, name: str) -> DirectoryStore:
        return DirectoryStore(self.place / name, compact_bytes=NEVER)

    def _change(self, change: Change, number: int, turn: int) -> None:
        self._change_in(self.store, change, number, turn)

    def _change_in(self, store: DirectoryStore, change: Change, number: int, turn: int) -> None:
        with store.transaction(who=WHO, why="health") as draft:
            document = found(draft.get("nodes", name_of(number)))
            change(document, turn)
            draft.put("nodes", document)


class OursAsTinyDB(Ours):
    """The same store through TinyDB's API, as its documentation says how to write."""

    label = "ours, TinyDB's API"

    def settle(self, turn: int) -> None:
        self.table = self._table("state")
        self.still = self._table("compacted")
        super().settle(turn)

    def beat_all(self, turn: int) -> None:
        self.table.update(lambda document: meet(document, turn))

    def reopened_update(self, turn: int) -> None:
        self.table = self._table("state")
        self.update(turn)

    def reopened_lookup(self, turn: int) -> Document:
        return found(self._table("compacted").get(where("name") == name_of(self.picked(turn))))

    def long_lookup(self, turn: int) -> Document:
        return found(self._table("long").get(where("name") == name_of(self.picked(turn))))

    def loaded_lookup(self, turn: int) -> Document:
        return found(self._table("compacted").get(where("address") == address_of(self.picked(turn))))

    def all_documents(self, _turn: int) -> list[Document]:
        return self._table("compacted").all()

    def scan_text(self, _turn: int) -> None:
        none(self.still.search(where("interface") == "ib9"))

    def scan_number(self, _turn: int) -> None:
        none(self.still.search(where("cpus") > 10_000))

    def _table(self, name: str) -> Table:
        return Database(self._store(name), who=WHO).table("nodes")

    def _change(self, change: Change, number: int, turn: int) -> None:
        self.table.update(lambda document: change(document, turn), where("name") == name_of(number))


class Liveness(Way):
    """Our own way for heartbeats, which are no transactions: a file's time a node."""

    label = "ours, contacted()"

    def fill(self, documents: list[Document]) -> None:
        self.beat_all(-1)

    def beat(self, number: int, turn: int) -> None:
        DirectoryStore(self.place).contacted({name_of(number): at(turn)})

    def beat_all(self, turn: int) -> None:
        DirectoryStore(self.place).contacted({name_of(number): at(turn) for number in range(self.nodes)})


def lines_of(store: Path) -> list[bytes]:
    """What the newest segment of a store's journal has, without the room after it."""
    return max((store / "journal").glob("*.jsonl")).read_bytes().rstrip(b"\0").splitlines(keepends=True)
