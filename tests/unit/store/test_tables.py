# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and drafts: TinyDB's documents, each under its own name, handed out as copies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from muster.model import InvalidInput
from muster.store import SCHEMA, DirectoryStore, Draft
from muster.store.edits import difference, edited
from muster.store.files import HeldBytes
from muster.store.journal import new_record
from muster.store.snapshot import Snapshot, write_snapshot
from muster.store.state import State
from tinydb import Query, where

from tests.unit.store.disk import put
from tests.unit.store.documents import documents, exactly


@pytest.fixture(params=["put just now", "in the journal", "in the snapshot"])
def draft(request: pytest.FixtureRequest, store: DirectoryStore) -> Iterator[Draft]:
    """A draft with three nodes, wherever they are kept."""
    nodes = [{"name": f"n{number}", "labels": {"rack": "a"}, "size": number} for number in (1, 2, 3)]
    if request.param != "put just now":
        put(store, *nodes)
    if request.param == "in the snapshot":
        store.compact(who="tester")
    with store.rehearsal() as made:
        for node in nodes:
            made.put("nodes", node)
        yield made


def test_a_name_that_is_refused_leaves_every_document_where_it_was(draft: Draft) -> None:
    before = draft.all("nodes")
    with pytest.raises(InvalidInput, match="the table nodes has n2 already"):
        draft.write("nodes", 1, {"name": "n2"})
    with pytest.raises(InvalidInput, match="must have a name that is a string"):
        draft.write("nodes", 1, {"name": 7})
    assert [draft.get("nodes", f"n{number}") for number in (1, 2, 3)] == before == draft.all("nodes")


def test_a_document_is_found_by_its_name(draft: Draft) -> None:
    assert draft.get("nodes", "n2") == {"name": "n2", "labels": {"rack": "a"}, "size": 2}
    assert draft.get("nodes", "n9") is None
    assert draft.get("jobs", "n2") is None
    assert draft.get("nodes", "n") is None


@pytest.mark.parametrize("name", ['say "n2"', "n2\\", "n2,", 'n2",', "n2\n", "é", "", '":["n2",', "1"])
def test_a_name_may_hold_anything_and_is_not_mistaken_for_another(draft: Draft, name: str) -> None:
    assert draft.get("nodes", name) is None
    draft.put("nodes", {"name": name, "size": 9})
    file = io.BytesIO()
    draft_state = State("lineage", schema=SCHEMA)
    draft_state.apply(new_record(1, {"who": "tester", "why": "test"}, _all(draft)), 0)
    write_snapshot(file, draft_state)
    snapshot = Snapshot(HeldBytes(file.getvalue()), "memory").state()
    for found in (draft.get("nodes", name), Draft(snapshot).get("nodes", name)):
        assert found == {"name": name, "size": 9}
    for other in ("n1", "n2", "n3"):
        assert Draft(snapshot).get("nodes", other) == draft.get("nodes", other)


def _all(draft: Draft) -> list[dict[str, Any]]:
    return [
        {"table": "nodes", "id": number, "edits": [{"path": [], "to": row}]} for number, row in draft.items("nodes")
    ]


def test_a_tinydb_query_finds_documents_also_those_just_put(draft: Draft) -> None:
    assert [row["name"] for row in draft.search("nodes", Query().size > 1)] == ["n2", "n3"]
    draft.put("nodes", {"name": "n3", "size": 0})
    draft.put("nodes", {"name": "n4", "size": 9})
    assert [row["name"] for row in draft.search("nodes", Query().size > 1)] == ["n2", "n4"]
    assert draft.search("nodes", where("labels").rack == "b") == []


def test_what_is_handed_out_is_a_copy_and_so_is_what_is_kept(draft: Draft) -> None:
    mine = {"name": "n4", "labels": {"rack": "b"}}
    draft.put("nodes", mine)
    mine["labels"] = {"rack": "changed"}
    for copy in (draft.get("nodes", "n4"), draft.all("nodes")[3], *draft.search("nodes", where("name") == "n4")):
        assert copy is not None
        assert copy["labels"] == {"rack": "b"}
        copy["labels"]["rack"] = "changed"
    assert draft.get("nodes", "n4") == {"name": "n4", "labels": {"rack": "b"}}
    for copy in (draft.get("nodes", "n1"), draft.all("nodes")[0], *draft.search("nodes", where("name") == "n1")):
        assert copy is not None
        copy["labels"]["rack"] = "changed"
    assert draft.get("nodes", "n1") == {"name": "n1", "labels": {"rack": "a"}, "size": 1}


def test_a_document_put_again_keeps_its_place(draft: Draft) -> None:
    draft.put("nodes", {"name": "n1", "size": 7})
    assert [row["name"] for row in draft.all("nodes")] == ["n1", "n2", "n3"]


def test_removing_says_how_many_there_were(draft: Draft) -> None:
    assert draft.remove("nodes", ["n1", "n3", "n9", "n1"]) == 2
    assert draft.remove("nodes", ["n1"]) == 0
    assert [row["name"] for row in draft.all("nodes")] == ["n2"]
    draft.put("nodes", {"name": "n1"})
    assert draft.get("nodes", "n1") == {"name": "n1"}
    assert draft.count("nodes") == 2


def test_a_draft_knows_whether_anything_is_other_than_it_was(store: DirectoryStore) -> None:
    put(store, {"name": "n1", "labels": {"a": [1, {"b": 2}]}})
    with store.rehearsal() as draft:
        assert not draft.changes()
        draft.put("nodes", {"name": "n1", "labels": {"a": [1, {"b": 3}]}})
        assert draft.changes()
        (change,) = draft.changes()
        assert (change["key"], change["edits"]) == (
            "n1",
            [{"path": ["labels", "a", 1, "b"], "from": 2, "to": 3}],
        )
        draft.put("nodes", {"labels": {"a": [1, {"b": 2}]}, "name": "n1"})
        assert not draft.changes()


def test_going_through_many_documents_looks_at_each_a_few_times_only(tmp_path: Path) -> None:
    """Counted, not timed: the cost of changing all documents does not grow with the square of their number."""
    store = DirectoryStore(tmp_path)
    put(store, *({"name": f"n{number}"} for number in range(500)))
    store.compact(who="tester")
    with DirectoryStore(tmp_path).transaction(who="tester", why="all") as draft:
        looked = 0
        original = draft._original

        def counted(table: str, number: int) -> Any:
            nonlocal looked
            looked += 1
            return original(table, number)

        draft._original = counted  # type: ignore[method-assign]
        for number in range(500):
            draft.put("nodes", {"name": f"n{number}", "size": 1})
            draft.put("nodes", {"name": f"m{number}"})
            assert draft.get("nodes", f"n{number}") == {"name": f"n{number}", "size": 1}
    assert 500 <= looked < 20 * 1000
    assert store.read().count("nodes") == 1000


@given(documents, documents)
def test_the_edits_between_two_documents_lead_from_one_to_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    edits = difference(before, after)
    assert exactly(edited(before, edits)) == exactly(after)
    assert bool(edits) == (exactly(before) != exactly(after))
    back = difference(after, before)
    assert exactly(edited(after, back)) == exactly(before)


@given(documents, documents)
def test_edits_leave_the_document_before_them_alone(before: dict[str, Any], after: dict[str, Any]) -> None:
    seen = exactly(before)
    edited(before, difference(before, after))
    assert exactly(before) == seen


def test_the_edits_of_a_document_that_comes_or_goes_are_the_document() -> None:
    assert difference(None, {"a": 1}) == [{"path": [], "to": {"a": 1}}]
    assert difference({"a": 1}, None) == [{"path": [], "from": {"a": 1}}]
    assert difference(None, None) == difference({}, {}) == []
    assert edited(None, difference(None, {})) == {}
    assert edited({"a": 1}, difference({"a": 1}, None)) is None
