# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One document is found by its name, whatever has happened to it since the snapshot, without parsing what has not."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from muster.store import Database, DirectoryStore, Draft
from tinydb import where

from tests.unit.store.disk import Document, put

NODES = [f"n{number}" for number in range(20)]


@pytest.fixture
def long(store: DirectoryStore) -> DirectoryStore:
    """Twenty nodes in the snapshot, and fifty transactions after it that changed each of them but n0."""
    put(store, *({"name": name, "size": 0} for name in NODES))
    store.compact(who="tester")
    for turn in range(50):
        put(store, {"name": NODES[1 + turn % 19], "size": turn, "note": "x" * 100})
    return store


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of each JSON text that is parsed from now on."""
    found: list[int] = []
    real = json.loads

    def loads(text: str, *arguments: Any, **words: Any) -> Any:
        found.append(len(text))
        return real(text, *arguments, **words)

    monkeypatch.setattr(json, "loads", loads)
    return found


def alone(store: DirectoryStore, name: str) -> Document | None:
    """What a reader gets that opens the store for this one node."""
    return DirectoryStore(store.path).read().get("nodes", name)


def test_only_the_transactions_that_changed_it_are_parsed(long: DirectoryStore, parsed: list[int]) -> None:
    journal = len(max((long.path / "journal").glob("*.jsonl")).read_bytes().rstrip(b"\0"))
    assert alone(long, "n7") == {"name": "n7", "size": 44, "note": "x" * 100}
    assert sum(parsed) < journal / 5, "the header, the last transaction and the three of this node"
    parsed.clear()
    assert alone(long, "n0") == {"name": "n0", "size": 0}
    assert alone(long, "nobody") is None
    assert sum(parsed) < journal / 5


def test_for_many_lookups_the_journal_is_parsed_once(long: DirectoryStore, parsed: list[int]) -> None:
    journal = len(max((long.path / "journal").glob("*.jsonl")).read_bytes().rstrip(b"\0"))
    tables = DirectoryStore(long.path).read()
    for _turn in range(10):
        for name in NODES:
            assert tables.get("nodes", name) is not None
    of_the_journal = [length for length in parsed if length > 200]
    assert journal <= sum(of_the_journal) < 2 * journal


def rename(draft: Draft, before: str, after: str) -> None:
    number = draft.number("nodes", before)
    assert number is not None
    draft.write("nodes", number, {"name": after, "size": "renamed"})


CHANGES: dict[str, Callable[[Draft], object]] = {
    "made": lambda draft: draft.put("nodes", {"name": "new"}),
    "removed": lambda draft: draft.remove("nodes", ["n3"]),
    "removed and made again": lambda draft: (
        draft.remove("nodes", ["n3"]),
        draft.put("nodes", {"name": "n3", "size": "again"}),
    ),
    "renamed": lambda draft: rename(draft, "n3", "n33"),
    "renamed to a name that was free since": lambda draft: (
        draft.remove("nodes", ["n4"]),
        rename(draft, "n3", "n4"),
    ),
    "named like a word of the journal": lambda draft: draft.put("nodes", {"name": "edits", "size": "nodes"}),
    "with quotes, slashes and fire in it": lambda draft: draft.put("nodes", {"name": 'say "n3" \\ 🔥', "size": "n3"}),
    "that another table has too": lambda draft: (
        draft.put("jobs", {"id": "n3", "name": "n4"}),
        draft.put("jobs", {"id": "n3", "name": "n5"}),
    ),
    "in a table of the user's": lambda draft: draft.write("mine", 1, {"key": "n3", "edits": [{"path": ["name"]}]}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("later", [False, True], ids=["last", "changed later"])
def test_whatever_was_done_to_a_document_it_is_found_as_it_is(
    long: DirectoryStore, change: Callable[[Draft], object], later: bool
) -> None:
    names = [*NODES, "n33", "new", "edits", 'say "n3" \\ 🔥', "nobody"]
    with long.transaction(who="tester", why="test") as draft:
        change(draft)
    if later:
        with long.transaction(who="tester", why="later") as draft:
            for row in draft.all("nodes"):
                draft.put("nodes", row | {"later": [True]})
        put(long, {"name": "n9", "size": "last"})
    whole = {row["name"]: row for row in DirectoryStore(long.path).read().all("nodes")}
    assert {name: alone(long, name) for name in names} == {name: whole.get(name) for name in names}
    by_query = {name: Database(long.path).table("nodes").search(where("name") == name) for name in names}
    assert by_query == {name: [whole[name]] if name in whole else [] for name in names}


def test_threads_that_look_up_and_read_all_at_once_see_the_same(long: DirectoryStore) -> None:
    for _round in range(20):
        tables = DirectoryStore(long.path).read()

        def look(name: str, tables: Any = tables) -> tuple[Any, Any, int]:
            return tables.get("nodes", name), [row["name"] for row in tables.all("nodes")], tables.rev("nodes", name)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(look, NODES))
        assert [row["name"] for row, _names, _rev in found] == NODES
        assert all(names == NODES for _row, names, _rev in found)
        assert [rev for _row, _names, rev in found] == [1, *range(40, 52), *range(33, 40)]


def test_a_reader_goes_on_from_a_lookup(long: DirectoryStore) -> None:
    reader = DirectoryStore(long.path)
    before = reader.read()
    assert before.get("nodes", "n7") == {"name": "n7", "size": 44, "note": "x" * 100}
    put(long, {"name": "n7", "size": "new"})
    assert reader.read().get("nodes", "n7") == {"name": "n7", "size": "new"}
    assert before.get("nodes", "n7") == {"name": "n7", "size": 44, "note": "x" * 100}, "what it had stays as it was"
    put(reader, {"name": "n7", "size": "newer"})
    assert alone(long, "n7") == {"name": "n7", "size": "newer"}
