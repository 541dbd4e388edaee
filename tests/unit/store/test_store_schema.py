# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A state that an earlier Muster wrote is brought forward and kept; one of a later Muster is refused and untouched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from muster.model import Damaged, StoreError
from muster.store import SCHEMA, Database, DirectoryStore
from muster.store.frames import framed, unframed
from tinydb import TinyDB

from tests.unit.store.disk import content, holding, names, put, sound

# As Muster wrote it before there was a journal: the whole state in one file, TinyDB's layout, a document a line.
FIRST = """{
 "meta": {
  "1": {"key": "state", "schema": 1, "lineage": "0f3a5c5b8e6d4a0f9d0f0c7f0b5b6a1e", "serial": 17, "epoch": 5, \
"changed": {"who": "ansible:ann@desk", "why": "drain", "at": "2026-11-20T08:00:00.000000Z"}}
 },
 "nodes": {
  "1": {"name": "n1", "address": "10.0.0.1", "labels": {"rack": "r1"}},
  "3": {"name": "n3", "address": "10.0.0.3", "labels": {}, "note": "na\\u00efve \\ud83d\\udd25"}
 },
 "jobs": {
  "4": {"id": "ring-1", "state": "QUEUED", "spec": {"command": ["true"]}}
 },
 "leases": {},
 "_default": {
  "2": {"note": "mine"}
 }
}
"""
LIVENESS = '{"n1": "2026-11-20T08:00:00.000000Z"}'


@pytest.fixture
def first(store: DirectoryStore) -> DirectoryStore:
    """A store as the first schema left it."""
    store.path.mkdir(mode=0o700)
    for name, text in {"state.json": FIRST, "liveness.json": LIVENESS, "lock": "", "liveness.lock": ""}.items():
        (store.path / name).write_text(text)
        (store.path / name).chmod(0o600)
    return store


def documents(store: DirectoryStore) -> dict[str, dict[int, dict[str, Any]]]:
    return {table: rows for table, rows in holding(store).items() if table != "meta"}


def as_it_was() -> dict[str, dict[int, dict[str, Any]]]:
    raw = json.loads(FIRST)
    return {
        table: {int(number): row for number, row in rows.items()}
        for table, rows in raw.items()
        if rows and table != "meta"
    }


def test_the_first_schema_is_read_as_it_is_and_left_as_it_is_by_readers(first: DirectoryStore, told: list[str]) -> None:
    before = content(first.path)
    tables = first.read()
    assert (tables.serial, tables.epoch, tables.lineage) == (17, 5, "0f3a5c5b8e6d4a0f9d0f0c7f0b5b6a1e")
    assert tables.changed == {"who": "ansible:ann@desk", "why": "drain", "at": "2026-11-20T08:00:00.000000Z"}
    assert documents(first) == as_it_was()
    with first.rehearsal() as draft:
        assert draft.next_epoch() == 6
    assert (content(first.path), told) == (before, [])


def test_the_first_transaction_brings_it_forward_and_keeps_the_old_file(first: DirectoryStore, told: list[str]) -> None:
    with first.transaction(who="bob", why="go on") as draft:
        assert draft.next_epoch() == 6
        draft.put("nodes", {"name": "n4"})
    for store in (first, DirectoryStore(first.path)):
        tables = store.read()
        assert (tables.serial, tables.epoch, tables.lineage) == (18, 6, "0f3a5c5b8e6d4a0f9d0f0c7f0b5b6a1e")
        assert names(store) == ["n1", "n3", "n4"]
        assert {table: rows for table, rows in documents(store).items() if table != "nodes"} == {
            table: rows for table, rows in as_it_was().items() if table != "nodes"
        }
    assert (first.path / "state.json.backup").read_text() == FIRST
    assert not list(first.path.glob("liveness.*")), "when nodes were seen is in the times of files now"
    assert told == []
    assert sound(first)
    assert first.read().rev("nodes", "n1") == 17
    assert [record["serial"] for record in first.history()] == [18]


def test_so_does_one_that_changes_nothing(first: DirectoryStore) -> None:
    with first.transaction(who="bob", why="nothing"):
        pass
    assert (first.path / "state.json.backup").read_text() == FIRST
    with TinyDB(first.path / "state.json", access_mode="r") as database:
        assert {row["name"] for row in database.table("nodes")} == {"n1", "n3"}
        assert database.all() == [{"note": "mine"}]
    assert (first.read().serial, first.read().epoch) == (17, 5)


def test_numbers_of_documents_are_not_given_again(first: DirectoryStore) -> None:
    database = Database(first)
    assert [row.doc_id for row in database.table("nodes")] == [1, 3]
    assert database.insert({"note": "next"}) == 3
    put(first, {"name": "n4"})
    assert [row.doc_id for row in database.table("nodes")] == [1, 3, 4]


def test_a_snapshot_damaged_right_after_is_replaced_from_the_old_file(
    first: DirectoryStore, told: list[str], tmp_path: Path
) -> None:
    put(first, {"name": "n4"})
    before = holding(first)
    shutil.copytree(first.path, tmp_path / "damaged")
    store = DirectoryStore(tmp_path / "damaged", tell=told.append)
    (store.path / "state.json").write_bytes(b"\0" * 100)
    assert holding(store) == before
    assert "state.json is damaged" in told[0]
    put(store, {"name": "n5"})
    assert sound(store)


def newer(state: Path) -> None:
    """Make a snapshot look as if a later Muster had written it."""
    head, mark, last = state.read_bytes().rpartition(b'\n"_muster": {"1": ')
    meta = unframed(last.removesuffix(b"}}\n"))
    assert meta is not None
    line, _chain = framed({key: value for key, value in meta[0].items() if key != "crc"} | {"schema": SCHEMA + 1})
    state.write_bytes(head + mark + line + b"}}\n")


@pytest.mark.parametrize("layout", ["today's", "the first"])
def test_a_newer_schema_is_refused_and_left_untouched(store: DirectoryStore, told: list[str], layout: str) -> None:
    put(store, {"name": "n1"})
    store.compact(who="tester")
    put(store, {"name": "n2"})
    if layout == "today's":
        newer(store.path / "state.json")
    else:
        (store.path / "state.json").write_text(FIRST.replace('"schema": 1', f'"schema": {SCHEMA + 1}'))
    before = content(store.path)
    fresh = DirectoryStore(store.path, tell=told.append)
    for attempt in (fresh.read, lambda: put(fresh, {"name": "n3"}), lambda: fresh.compact(who="tester")):
        with pytest.raises(StoreError, match=f"has schema {SCHEMA + 1}, and this Muster knows schemas up to") as error:
            attempt()
        assert "upgrade muster.training" in error.value.hint
        assert not isinstance(error.value, Damaged), "it is not damaged, and nobody sets it aside"
    assert (content(store.path), told) == (before, [])


META = {"key": "state", "schema": 1, "lineage": "x", "serial": 1, "epoch": 0}


@pytest.mark.parametrize(
    "raw",
    [
        [1, 2],
        "text",
        {},
        {"nodes": []},
        {"meta": {"1": {"key": "other", "schema": 1}}},
        {"meta": {"1": {"key": "state", "schema": 1}}},
        {"meta": {"1": META | {"schema": "first"}}},
        {"meta": {"1": META | {"serial": "many"}}},
        {"meta": {"1": META | {"serial": None}}},
        {"meta": {"1": META | {"lineage": None}}},
        {"meta": {"1": {key: value for key, value in META.items() if key != "epoch"}}},
        {"meta": {"1": META}, "nodes": {"1": {}}},
        {"meta": {"1": META}, "nodes": {"1": {"name": 7}}},
        {"meta": {"1": META}, "nodes": {"x": {"name": "a"}}},
        {"meta": {"1": META}, "nodes": {"1": {"name": "a"}, "2": {"name": "a"}}},
        {"meta": {"1": META}, "nodes": []},
        {"meta": {"1": META}, "jobs": {"1": 3}},
    ],
    ids=lambda raw: json.dumps(raw)[:60],
)
def test_what_is_no_state_of_the_first_schema_is_damaged_and_left_untouched(store: DirectoryStore, raw: Any) -> None:
    """It had no checksums: whether it is whole shows in its shape only."""
    store.path.mkdir()
    (store.path / "state.json").write_text(json.dumps(raw))
    before = content(store.path)
    for attempt in (store.read, lambda: put(store, {"name": "n1"})):
        with pytest.raises(Damaged, match=r"holds no state that can be used: .*state\.json is damaged"):
            attempt()
    assert {name: text for name, text in content(store.path).items() if name != "lock"} == before


def test_a_state_of_the_first_schema_cut_anywhere_is_never_taken_for_one(first: DirectoryStore) -> None:
    for length in range(len(FIRST) - 2):
        (first.path / "state.json").write_text(FIRST[:length])
        with pytest.raises(Damaged):
            first.read()
