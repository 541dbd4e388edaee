# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any series of operations, with crashes and new beginnings between them, does to the store what it does to a dict."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from muster.model import Conflict
from muster.store import Database, DirectoryStore, Draft, verify
from tinydb import TinyDB, where
from tinydb.operations import delete, increment

from tests.unit.store.disk import Document, names, put

node_names = st.sampled_from(["n1", "n2", "n3", "n4", 'say "n5"', "naïve 🔥"])
values = st.one_of(
    st.integers(0, 3),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.lists(st.integers(0, 2), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 2)),
)
fields = st.dictionaries(st.sampled_from(["size", "labels", "note"]), values, max_size=3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), node_names, fields),
        st.tuples(st.just("remove"), node_names, st.none()),
        st.tuples(st.just("get"), node_names, st.none()),
        st.tuples(st.just("search"), node_names, st.none()),
        st.tuples(st.just("epoch"), st.none(), st.none()),
    ),
    max_size=8,
)


class StoreBesideDict(RuleBasedStateMachine):
    """Two objects use one store in turn, as two processes would. What was acknowledged is in the dict."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="muster-store-"))
        self.place = self.root / "0"
        self.nodes: dict[str, Document] = {}
        self.mine: dict[int, Document] = {}
        self.epoch = self.serial = self.crashes = 0
        self.revs: dict[str, int] = {}
        self.told: list[str] = []

    @initialize(compact_bytes=st.sampled_from([0, 300, 1000, 1 << 18]))
    def begin(self, compact_bytes: int) -> None:
        self.compact_bytes = compact_bytes
        self.open_again()
        self.other = DirectoryStore(self.place, compact_bytes=compact_bytes, tell=self.told.append)

    @rule()
    def open_again(self) -> None:
        self.store = DirectoryStore(self.place, compact_bytes=self.compact_bytes, tell=self.told.append)

    @rule()
    def let_the_other_go_on(self) -> None:
        self.store, self.other = self.other, self.store

    @rule(series=steps, fails=st.sampled_from([False, False, True]))
    def make_a_transaction(self, series: list[tuple[str, Any, Any]], fails: bool) -> None:
        nodes, epoch, anew = copy.deepcopy(self.nodes), self.epoch, set[str]()
        with suppress(ZeroDivisionError), self.store.transaction(who="tester", why="series") as draft:
            for verb, name, value in series:
                epoch = self._step(draft, nodes, epoch, verb, name, value)
                anew |= {name} if verb == "remove" and name in self.nodes else set()
            anew &= nodes.keys()  # what was removed and put again has another number, whatever it holds
            assert bool(draft.changes()) == (differ(nodes, self.nodes) or epoch != self.epoch or bool(anew))
            if fails:
                raise ZeroDivisionError
        if not fails:
            self._acknowledge(nodes, self.mine, epoch, anew)

    def _step(self, draft: Draft, nodes: dict[str, Document], epoch: int, verb: str, name: str, value: Any) -> int:
        if verb == "put":
            document = {"name": name, **copy.deepcopy(value)}
            assert draft.put("nodes", document) == (name not in nodes or differ(nodes[name], document))
            nodes[name] = copy.deepcopy(document)
        elif verb == "remove":
            assert draft.remove("nodes", [name, "nobody"]) == (name in nodes)
            nodes.pop(name, None)
        elif verb == "get":
            assert draft.get("nodes", name) == nodes.get(name)
            assert draft.count("nodes") == len(nodes)
        elif verb == "search":
            found = [nodes[name]] if name in nodes else []
            assert draft.search("nodes", where("name") == name) == found
        else:
            epoch = draft.next_epoch()
            assert epoch > self.epoch
        return epoch

    @rule(name=node_names, value=values, late=st.booleans())
    def compare_and_set(self, name: str, value: Any, late: bool) -> None:
        rev = self.store.read().rev("nodes", name)
        document = {"name": name, "value": value}
        try:
            with self.store.transaction(who="tester", why="compare") as draft:
                draft.put("nodes", document, rev=rev + late)
        except Conflict:
            assert late
        else:
            assert not late
            self._acknowledge(self.nodes | {name: document}, self.mine, self.epoch)

    @rule(documents=st.lists(fields, max_size=4))
    def insert_with_tinydb(self, documents: list[Document]) -> None:
        numbers = self._database().insert_multiple(copy.deepcopy(documents))
        assert not self.mine.keys() & set(numbers)
        assert len(set(numbers)) == len(numbers)
        self._acknowledge(self.nodes, self.mine | dict(zip(numbers, documents, strict=True)), self.epoch)

    @rule(value=st.integers(0, 3), change=st.sampled_from([{"note": "new"}, increment("size"), delete("size")]))
    def update_with_tinydb(self, value: int, change: Any) -> None:
        mine = copy.deepcopy(self.mine)
        for row in mine.values():
            if type(row.get("size")) is int and row["size"] == value:
                row.update(change) if isinstance(change, dict) else change(row)
        self._database().update(change, where("size").test(lambda size: type(size) is int and size == value))
        self._acknowledge(self.nodes, mine, self.epoch)

    @rule(note=st.text(max_size=1))
    def upsert_with_tinydb(self, note: str) -> None:
        (*numbers,) = self._database().upsert({"note": note, "seen": True}, where("note") == note)
        mine = {number: dict(row) for number, row in self.mine.items()}
        assert set(numbers) & mine.keys() == {number for number, row in mine.items() if row.get("note") == note}
        for number in numbers:
            mine[number] = mine.get(number, {}) | {"note": note, "seen": True}
        self._acknowledge(self.nodes, mine, self.epoch)

    @rule(note=st.text(max_size=1), everything=st.sampled_from([False, False, False, True]))
    def remove_with_tinydb(self, note: str, everything: bool) -> None:
        if everything:
            self._database().truncate()
        else:
            self._database().remove(where("note") == note)
        left = {number: row for number, row in self.mine.items() if not everything and row.get("note") != note}
        self._acknowledge(self.nodes, left, self.epoch)

    @rule()
    def fold(self) -> None:
        self.store.compact(who="tester")

    @rule()
    def rehearse(self) -> None:
        with self.store.rehearsal() as draft:
            draft.remove("nodes", self.nodes)
            draft.next_epoch()
            assert draft.count("nodes") == 0

    @rule(share=st.floats(0, 1, exclude_max=True), zeros=st.booleans())
    def crash(self, share: float, zeros: bool) -> None:
        """What is on disk at this moment is all there is, and of the next transaction a part was written."""
        self.crashes += 1
        before, self.place = self.place, self.root / str(self.crashes)
        if self.serial:
            shutil.copytree(before, self.place)
            put(DirectoryStore(self.place), {"name": "never acknowledged"})
            shutil.copy(before / "lock", self.place / "lock")
            (segment,) = [path for path in (self.place / "journal").iterdir() if b"never ack" in path.read_bytes()]
            old = before / "journal" / segment.name
            whole = old.read_bytes().rfind(b"\n") + 1 if old.exists() else 0
            text = segment.read_bytes()
            part = text[: whole + int(share * (len(text.rstrip(b"\0")) - whole))]
            segment.write_bytes(part.ljust(len(text), b"\0") if zeros else part)
            shutil.copy(self.place / "state.json", self.place / ".state.json.new")
            os.truncate(self.place / ".state.json.new", 40)
        self.store, self.other = (
            DirectoryStore(self.place, compact_bytes=self.compact_bytes, tell=self.told.append) for _ in range(2)
        )

    @invariant()
    def what_was_acknowledged_is_there_and_nothing_else(self) -> None:
        if not hasattr(self, "store"):
            return
        for store in (self.store, DirectoryStore(self.place, tell=self.told.append)):
            tables = store.read()
            for name in ("n1", "n2", "nobody"):  # first: what all of it needs is put together only then
                assert not differ(tables.get("nodes", name), self.nodes.get(name))
            assert not differ({row["name"]: row for row in tables.all("nodes")}, self.nodes)
            assert not differ(dict(tables.items("mine")), self.mine)
            assert (tables.epoch, tables.serial) == (self.epoch, self.serial)
            assert (tables.count("nodes"), tables.count("mine")) == (len(self.nodes), len(self.mine))
            assert {name: tables.rev("nodes", name) for name in names(tables)} == self.revs
        assert self.told == []

    def teardown(self) -> None:
        try:
            if self.serial:
                assert verify(self.place).problems == []
                self.store.compact(who="tester")
                with TinyDB(self.place / "state.json", access_mode="r") as stock:
                    assert not differ({row["name"]: dict(row) for row in stock.table("nodes")}, self.nodes)
                    assert not differ({row.doc_id: dict(row) for row in stock.table("mine")}, self.mine)
        finally:
            shutil.rmtree(self.root)

    def _database(self) -> Any:
        return Database(self.store, who="tester").table("mine")

    def _acknowledge(
        self, nodes: dict[str, Document], mine: dict[int, Document], epoch: int, anew: Collection[str] = ()
    ) -> None:
        changed = {name for name in nodes if name in anew or differ(nodes[name], self.nodes.get(name))}
        if changed or len(nodes) < len(self.nodes) or differ(mine, self.mine) or epoch != self.epoch:
            self.serial += 1
        self.revs = {name: self.serial if name in changed else self.revs[name] for name in nodes}
        self.nodes, self.mine, self.epoch = copy.deepcopy(nodes), copy.deepcopy(mine), epoch


def differ(one: Any, other: Any) -> bool:
    """Whether two values are not the same JSON: 1 and true are, to Python; the order of names does not count."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(differ(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(differ(*pair) for pair in zip(one, other, strict=True))
    return type(one) is not type(other) or one != other


def test_the_store_does_what_a_dict_does_through_crashes_and_new_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: Callable[[int], None] = lambda _handle: None  # noqa: E731
    monkeypatch.setattr(os, "fsync", flushed)  # what is not flushed is not lost by these crashes, and takes less time
    monkeypatch.setattr(os, "fdatasync", flushed)
    run_state_machine_as_test(StoreBesideDict, settings=settings(max_examples=100, stateful_step_count=30))
