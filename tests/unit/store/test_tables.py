# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and drafts: TinyDB's documents, each under its own name, handed out as copies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.store import DirectoryStore, Draft
from muster.store.document import decoded, empty, encoded
from tinydb import Query, where


@pytest.fixture
def draft() -> Draft:
    draft = Draft(empty())
    for number in (1, 2, 3):
        draft.put("nodes", {"name": f"n{number}", "labels": {"rack": "a"}, "size": number})
    return draft


def test_a_document_is_found_by_its_name(draft: Draft) -> None:
    assert draft.get("nodes", "n2") == {"name": "n2", "labels": {"rack": "a"}, "size": 2}
    assert draft.get("nodes", "n9") is None
    assert draft.get("jobs", "n2") is None


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


def test_a_document_put_again_keeps_its_place(draft: Draft) -> None:
    draft.put("nodes", {"name": "n1", "size": 7})
    assert [row["name"] for row in draft.all("nodes")] == ["n1", "n2", "n3"]


def test_removing_says_how_many_there_were(draft: Draft) -> None:
    assert draft.remove("nodes", ["n1", "n3", "n9", "n1"]) == 2
    assert draft.remove("nodes", ["n1"]) == 0
    assert [row["name"] for row in draft.all("nodes")] == ["n2"]
    draft.put("nodes", {"name": "n1"})
    assert draft.get("nodes", "n1") == {"name": "n1"}


names = st.sampled_from(["a", "b", "c", "d"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), names, st.integers(0, 3)),
        st.tuples(st.just("remove"), names, st.just(0)),
        st.tuples(st.just("read"), names, st.just(0)),
    ),
    max_size=30,
)


@given(steps, steps)
def test_any_series_of_changes_does_what_a_dictionary_would(
    first: list[tuple[str, str, int]], second: list[tuple[str, str, int]]
) -> None:
    """In one transaction and over two, in memory and after being written and read."""
    raw, model = empty(), dict[str, Mapping[str, Any]]()
    for series in (first, second):
        draft, before = Draft(raw), dict(model)
        for verb, name, value in series:
            if verb == "put":
                assert draft.put("nodes", {"name": name, "value": value}) == (model.get(name, {}).get("value") != value)
                model[name] = {"name": name, "value": value}
            elif verb == "remove":
                assert draft.remove("nodes", [name]) == (1 if name in model else 0)
                model.pop(name, None)
            else:
                assert draft.get("nodes", name) == model.get(name)
                assert {row["name"]: row for row in draft.search("nodes", where("name") == name)} == {
                    key: row for key, row in model.items() if key == name
                }
            assert draft.changed == (model != before)
        assert {row["name"]: row for row in draft.all("nodes")} == model
        raw = decoded(encoded(draft.sealed(who="me", why="test", at="now")), "memory")


def test_the_cost_of_a_change_does_not_grow_with_the_square_of_the_cluster(tmp_path: Path) -> None:
    """Counted, not timed: TinyDB goes through a table a few times a transaction, not once a document."""
    store = DirectoryStore(tmp_path)
    with store.transaction(who="me", why="many") as draft:
        for number in range(500):
            draft.put("nodes", {"name": f"n{number}"})
    with store.transaction(who="me", why="again") as draft:
        walks = 0
        write = draft._held.write

        def counted(data: Any) -> None:
            nonlocal walks
            walks += 1
            write(data)

        draft._held.write = counted  # type: ignore[method-assign]
        for number in range(500):
            draft.put("nodes", {"name": f"n{number}", "size": 1})
            draft.put("nodes", {"name": f"m{number}"})
    assert walks <= 3
    assert len(store.read().all("nodes")) == 1000
