# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store adds to TinyDB's interface: transactions, revisions, and names that are given once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from muster.model import Conflict, InvalidInput
from muster.store import Database
from tinydb import Query
from tinydb.operations import delete, increment

User = Query()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Two people in the table ``people``."""
    made = Database(tmp_path / "store", who="tester")
    made.table("people").insert_multiple([{"name": "ann", "age": 30}, {"name": "bob", "age": 20}])
    return made


def test_operations_are_grouped_in_one_transaction(database: Database) -> None:
    serial = database.store.read().serial
    with database.transaction("two at once"):
        assert database.table("people").insert({"name": "eva"}) == 3
        assert database.table("people").get(User.name == "eva") == {"name": "eva"}, "it sees its own changes"
        database.table("people").update(increment("age"), User.name == "ann")
        assert database.store.read().serial == serial
    assert database.store.read().serial == serial + 1
    (*_, record) = database.store.history()
    assert record["why"] == "two at once"


def test_a_transaction_that_fails_takes_all_of_it_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction("fail"):
        database.table("people").truncate()
        database.table("other").insert({"a": 1})
        raise ZeroDivisionError
    assert database.tables() == {"people"}
    assert database.table("people").all() == [{"name": "ann", "age": 30}, {"name": "bob", "age": 20}]


def test_a_call_that_fails_takes_back_what_it_did_and_the_transaction_goes_on(database: Database) -> None:
    people = database.table("people")
    with database.transaction("in spite of it"):
        with pytest.raises(ValueError, match="not a Mapping"):
            people.insert_multiple([{"name": "cid"}, "nobody"])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            people.update({"age": {1, 2}})
        people.insert({"name": "dan"})
    assert [row["name"] for row in people.all()] == ["ann", "bob", "dan"]
    assert [row.get("age") for row in people.all()] == [30, 20, None]


def test_a_transaction_is_that_of_its_thread(database: Database) -> None:
    seen: list[int] = []
    with database.transaction("mine"):
        database.table("people").truncate()
        other = threading.Thread(target=lambda: seen.append(len(database.table("people"))))
        other.start()
        other.join()
        waiting = threading.Thread(target=lambda: database.table("people").insert({"name": "later"}))
        waiting.start()
        waiting.join(0.05)
        assert len(database.table("people")) == 0
    waiting.join()
    assert seen == [2]
    assert database.table("people").all() == [{"name": "later"}]
    assert database.store.read().serial == 3


def test_every_call_is_one_transaction_and_one_that_changes_nothing_is_none(database: Database) -> None:
    table, serial = database.table("people"), database.store.read().serial
    for work, cost in (
        (lambda: table.insert({"name": "eva"}), 1),
        (lambda: table.insert_multiple([{"name": "fay"}, {"name": "gus"}]), 1),
        (lambda: table.update({"age": 7}), 1),
        (lambda: table.update({"age": 7}), 0),
        (lambda: table.update_multiple([({"age": 8}, User.name == "ann"), ({"age": 9}, User.name == "bob")]), 1),
        (lambda: table.upsert({"age": 8}, User.name == "ann"), 0),
        (lambda: table.remove(User.name == "nobody"), 0),
        (lambda: table.search(User.age == 7), 0),
        (table.truncate, 1),
        (table.truncate, 0),
        (database.drop_tables, 0),
    ):
        work()
        assert database.store.read().serial - serial == cost
        serial += cost


def test_a_revision_rises_with_each_change_of_the_document(database: Database) -> None:
    table = database.table("people")
    revs = [table.rev(1)]  # type: ignore[attr-defined]
    for age in (31, 31, 32):
        table.update({"age": age}, doc_ids=[1])
        table.update({"age": age}, doc_ids=[2])
        revs.append(table.rev(1))  # type: ignore[attr-defined]
    assert revs[0] < revs[1] == revs[2] < revs[3]
    assert table.rev(99) == 0  # type: ignore[attr-defined]


def test_what_somebody_changed_meanwhile_is_not_written_over(database: Database) -> None:
    nodes = database.table("nodes")
    number = nodes.insert({"name": "n1", "size": 1})
    seen = nodes.rev(number)  # type: ignore[attr-defined]
    nodes.update({"size": 2}, doc_ids=[number])
    with pytest.raises(Conflict), database.transaction("late") as draft:
        draft.put("nodes", {"name": "n1", "size": 3}, rev=seen)
    assert nodes.get(doc_id=number) == {"name": "n1", "size": 2}


def test_musters_own_tables_name_each_document_once(database: Database) -> None:
    nodes = database.table("nodes")
    nodes.insert_multiple([{"name": "n1"}, {"name": "n2"}])
    for refused in (
        lambda: nodes.insert({"name": "n1"}),
        lambda: nodes.insert({"address": "10.0.0.1"}),
        lambda: nodes.insert({"name": 7}),
        lambda: nodes.update({"name": "n1"}, doc_ids=[2]),
        lambda: nodes.update(delete("name"), doc_ids=[2]),
    ):
        with pytest.raises(InvalidInput):
            refused()
    assert nodes.all() == [{"name": "n1"}, {"name": "n2"}]
    nodes.update({"name": "n3"}, doc_ids=[2])
    assert database.store.read().get("nodes", "n3") == {"name": "n3"}
    assert database.store.read().get("nodes", "n2") is None
    assert nodes.insert({"name": "n2"}) == 3


@pytest.mark.parametrize("name", ["_index", "_muster"])
def test_the_tables_of_the_file_itself_are_nobodys(database: Database, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"table {name} belongs to the store"):
        database.table(name).insert({"a": 1})
    assert database.tables() == {"people"}
