# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TinyDB's documented interface on the store: every call is made on stock TinyDB as well, and has to do the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from muster.store import Database, DirectoryStore
from tinydb import Query, TinyDB, where
from tinydb.operations import add, decrement, delete, increment, set, subtract  # noqa: A004  # as its manual does
from tinydb.table import Document, Table

User = Query()
PEOPLE: list[Mapping[str, Any]] = [
    {"name": "ann", "age": 30, "groups": ["admin"], "home": {"city": "Ulm"}},
    {"name": "bob", "age": 20, "groups": ["users"], "home": {"city": "Bonn"}},
    {"name": "cem", "age": 40, "groups": ["users", "admin"], "home": {"city": "Ulm"}, "note": "naïve 🔥"},
    {"name": "dan", "age": 20, "groups": []},
]


class Both:
    """Stock TinyDB and ours side by side: what is done is done to both, and what comes out has to be the same."""

    def __init__(self, place: Path) -> None:
        self.stock = TinyDB(place / "stock.json")
        self.store = DirectoryStore(place / "store", compact_bytes=2000)
        self.ours = Database(self.store)

    def __call__(self, work: Callable[[Any], Any]) -> Any:
        """The result of ``work`` on either database; its error if both raise the same kind."""
        outcomes = [self._outcome(work, database) for database in (self.stock, self.ours)]
        expected, found = outcomes
        assert type(found) is type(expected), (found, expected)
        if isinstance(expected, Exception):
            assert str(found) == str(expected) or not isinstance(expected, (ValueError, RuntimeError))
        else:
            assert plain(found) == plain(expected)
        self.same()
        return found

    def same(self) -> None:
        """Both hold the same, also for who opens them now, and as what JSON makes of it."""
        for ours in (self.ours, Database(self.store.path)):
            assert {name: rows for name in ours.tables() if (rows := held(ours.table(name)))} == {
                name: rows for name in self.stock.tables() if (rows := held(self.stock.table(name)))
            }

    @staticmethod
    def _outcome(work: Callable[[Any], Any], database: Any) -> Any:
        try:
            return work(database)
        except Exception as error:
            return error


def held(table: Table) -> list[tuple[int, str]]:
    return [(row.doc_id, json.dumps(row)) for row in table]


def plain(value: Any) -> Any:
    """With the numbers of documents, which do not count when documents are compared."""
    if isinstance(value, Document):
        return value.doc_id, dict(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    made = Both(tmp_path)
    yield made
    made.stock.close()
    made.ours.close()


@pytest.fixture
def people(both: Both) -> Both:
    """Both with four people in the table ``people``."""
    assert both(lambda db: db.table("people").insert_multiple(PEOPLE)) == [1, 2, 3, 4]
    return both


class TestInserting:
    def test_documents_are_numbered_from_one_in_each_table(self, both: Both) -> None:
        assert both(lambda db: db.insert({"a": 1})) == 1
        assert both(lambda db: db.insert({"a": 2})) == 2
        assert both(lambda db: db.table("other").insert({})) == 1
        assert both(lambda db: db.insert_multiple([{"a": 3}, {"a": 4}])) == [3, 4]
        assert both(lambda db: db.insert_multiple({"n": n} for n in range(3))) == [5, 6, 7]
        assert both(lambda db: db.insert_multiple([])) == []

    def test_a_document_with_a_number_takes_that_and_the_next_comes_after_it(self, both: Both) -> None:
        assert both(lambda db: db.insert(Document({"a": 1}, doc_id=12))) == 12
        assert both(lambda db: db.insert({"a": 2})) == 13
        assert both(lambda db: db.insert_multiple([Document({"a": 3}, doc_id=20), Document({"a": 4}, doc_id=30)])) == [
            20,
            30,
        ]
        assert isinstance(both(lambda db: db.insert(Document({"a": 5}, doc_id=20))), ValueError)
        assert isinstance(
            both(lambda db: db.insert_multiple([Document({"a": 6}, doc_id=40), Document({"a": 7}, doc_id=12)])),
            ValueError,
        )

    def test_what_is_no_mapping_is_refused(self, both: Both) -> None:
        for nothing in ([1, 2], "text", None, 3):
            assert isinstance(both(lambda db, it=nothing: db.insert(it)), ValueError)
            assert isinstance(both(lambda db, it=nothing: db.insert_multiple([{"a": 1}, it])), ValueError)

    @pytest.mark.parametrize("value", [{1, 2}, b"bytes", object, {"deep": [{"er": {3}}]}], ids=str)
    def test_what_is_no_json_raises_type_error_and_changes_nothing(self, people: Both, value: Any) -> None:
        for work in (
            lambda db: db.table("people").insert({"value": value}),
            lambda db: db.table("people").insert_multiple([{"value": 1}, {"value": value}]),
            lambda db: db.table("people").update({"value": value}),
            lambda db: db.table("people").upsert({"value": value}, User.name == "ann"),
        ):
            assert isinstance(people(work), TypeError)

    @pytest.mark.parametrize(
        "document",
        [{"a": (1, 2)}, {2: "two", None: 0, True: 3, 1.5: 4}, {"a": float("inf")}, {"a": [None, True, 1e300, -0.0]}],
        ids=str,
    )
    def test_what_json_has_otherwise_comes_back_as_json_has_it(self, both: Both, document: Any) -> None:
        both(lambda db: db.insert(document))
        both(lambda db: db.all())


class TestAsking:
    @pytest.mark.parametrize(
        "query",
        [
            User.name == "cem",
            User.note == "naïve 🔥",
            User.name != "cem",
            User.age > 20,
            (User.age > 20) & (User.home.city == "Ulm"),
            (User.name == "ann") | (User.name == "bob"),
            ~(User.name == "ann"),
            User.note.exists(),
            User.home.city == "Ulm",
            User["home"]["city"].one_of(["Bonn", "Kiel"]),
            User.name.matches("[ab].*"),
            User.name.search("n$"),
            User.name.test(lambda name: name > "b"),
            User.name.map(str.upper) == "CEM",
            User.groups.any(["admin"]),
            User.groups.all(["users", "admin"]),
            User.groups == [],
            User.groups.any(where("x") == "admin"),
            User.fragment({"age": 20, "name": "bob"}),
            Query().noop(),
            where("age") == 20,
            where("age") == "20",
            where("home") == {"city": "Ulm"},
            lambda row: row["age"] == 20,
        ],
    )
    def test_queries_find_the_same(self, people: Both, query: Any) -> None:
        for _folded in range(2):
            people(lambda db: db.table("people").search(query))
            people(lambda db: db.table("people").get(query))
            people(lambda db: db.table("people").contains(query))
            people(lambda db: db.table("people").count(query))
            people.store.compact(who="tester")

    def test_documents_are_got_by_their_numbers(self, people: Both) -> None:
        for ask in (
            lambda table: table.get(doc_id=3),
            lambda table: table.get(doc_id=9),
            lambda table: table.get(doc_ids=[4, 2, 9, 2]),
            lambda table: table.get(doc_ids=[]),
            lambda table: table.get(),
            lambda table: table.contains(doc_id=3),
            lambda table: table.contains(doc_id=9),
            lambda table: table.contains(),
            lambda table: table.all(),
            lambda table: list(table),
            len,
        ):
            people(lambda db, ask=ask: ask(db.table("people")))
            people(lambda db, ask=ask: ask(db.table("nobody")))
            people(lambda db, ask=ask: ask(db))

    def test_what_was_found_is_the_callers_own(self, people: Both) -> None:
        for found in people.ours.table("people"):
            found["groups"].append("changed")
        people.ours.table("people").search(User.age == 20)[0]["age"] = 99
        people.same()

    def test_no_answer_is_kept_that_another_process_may_have_made_wrong(self, people: Both) -> None:
        table, query = people.ours.table("people"), User.name == "ann"
        assert table.count(query) == 1
        Database(people.store.path).table("people").remove(query)
        assert table.count(query) == 0


class TestChanging:
    @pytest.mark.parametrize(
        "fields",
        [
            {"age": 50},
            {"home": {"city": "Köln"}, "new": [1]},
            {},
            delete("age"),
            increment("age"),
            decrement("age"),
            add("age", 5),
            subtract("age", 5),
            set("age", "old"),
            lambda row: row.clear(),
            lambda row: row["groups"].append("more"),
        ],
    )
    def test_update_does_the_same(self, people: Both, fields: Any) -> None:
        people(lambda db: db.table("people").update(fields, User.name == "ann"))
        people(lambda db: db.table("people").update(fields, doc_ids=[3, 2]))
        people(lambda db: db.table("people").update(fields, User.name == "nobody"))
        people(lambda db: db.table("people").update(fields, doc_ids=[]))
        people(lambda db: db.table("people").update(fields, doc_ids=[99]))
        people(lambda db: db.table("people").update(fields, doc_ids=iter([4])))
        people(lambda db: db.table("people").update(fields, User.groups.any(["users"]), doc_ids=[1]))
        people(lambda db: db.table("nobody").update(fields))
        people.store.compact(who="tester")
        people(lambda db: db.table("people").update(fields, User.age == 20))

    def test_update_of_all_does_the_same(self, people: Both) -> None:
        assert people(lambda db: db.table("people").update(increment("age"))) == [1, 2, 3, 4]
        assert people(lambda db: db.table("people").update({"seen": True})) == [1, 2, 3, 4]

    def test_several_updates_at_once_do_the_same(self, people: Both) -> None:
        updates = [
            ({"age": 1}, where("name") == "ann"),
            (increment("age"), where("age") == 1),
            (delete("groups"), where("age") == 20),
        ]
        people(lambda db: db.table("people").update_multiple(updates))
        people(lambda db: db.table("people").update_multiple([]))

    def test_upsert_does_the_same(self, people: Both) -> None:
        assert people(lambda db: db.table("people").upsert({"name": "ann", "age": 31}, User.name == "ann")) == [1]
        assert people(lambda db: db.table("people").upsert({"name": "eva"}, User.name == "eva")) == [5]
        assert people(lambda db: db.table("people").upsert({"seen": 1}, User.age == 20)) == [2, 4]
        assert people(lambda db: db.table("people").upsert(Document({"age": 1}, doc_id=3))) == [3]
        assert people(lambda db: db.table("people").upsert(Document({"age": 1}, doc_id=30))) == [30]
        assert isinstance(people(lambda db: db.table("people").upsert({"age": 1})), ValueError)
        assert people(lambda db: db.table("people").insert({"name": "fay"})) == 31

    def test_remove_does_the_same(self, people: Both) -> None:
        assert people(lambda db: db.table("people").remove(User.age == 20)) == [2, 4]
        assert people(lambda db: db.table("people").remove(User.age == 20)) == []
        assert people(lambda db: db.table("people").remove(doc_ids=[3, 99])) == [3]
        assert isinstance(people(lambda db: db.table("people").remove()), RuntimeError)
        assert people(lambda db: db.table("people").insert({"name": "gus"})) == 5

    def test_an_updater_that_fails_changes_nothing(self, people: Both) -> None:
        def fail_at_bob(row: Any) -> None:
            row["age"] = 0
            if row["name"] == "bob":
                raise ZeroDivisionError

        assert isinstance(people(lambda db: db.table("people").update(fail_at_bob)), ZeroDivisionError)
        assert isinstance(people(lambda db: db.table("people").update(delete("note"))), KeyError)
        assert people.ours.table("people").get(doc_id=1) == PEOPLE[0]


class TestTables:
    def test_tables_are_their_own(self, people: Both) -> None:
        people(lambda db: db.insert({"in": "default"}))
        people(lambda db: db.table("pets").insert({"name": "rex"}))
        people(lambda db: db.tables())
        people(lambda db: db.table("pets").name)
        people(lambda db: db.default_table_name)
        people(lambda db: db.table("people").count(User.name == "rex"))

    def test_a_truncated_table_begins_anew(self, people: Both) -> None:
        people(lambda db: db.table("people").truncate())
        people(lambda db: len(db.table("people")))
        assert people(lambda db: db.table("people").insert({"name": "new"})) == 1
        people(lambda db: db.truncate())

    def test_a_dropped_table_is_gone_and_so_are_all_of_them(self, people: Both) -> None:
        people(lambda db: db.insert({"in": "default"}))
        people(lambda db: db.drop_table("people"))
        people(lambda db: db.tables())
        people(lambda db: db.drop_table("nobody"))
        people(lambda db: db.table("people").insert({"name": "new"}))
        people(lambda db: db.drop_tables())
        assert people(lambda db: db.tables()) == frozenset()
        assert people(lambda db: db.insert({"first": 1})) == 1

    def test_it_is_closed_like_a_file(self, tmp_path: Path) -> None:
        with Database(tmp_path / "store") as database:
            database.insert({"a": 1})
        with Database(str(tmp_path / "store")) as database:
            assert database.all() == [{"a": 1}]

    def test_stock_tinydb_opens_every_snapshot(self, people: Both) -> None:
        table = people.ours.table("people")
        for number in range(12):
            table.insert({"name": f"p{number}", "tail": ["\udcff \u2028 \0 \x1b[31m\n", 'say "x": {', "_muster"]})
            table.remove(doc_ids=[number])
            people.store.compact(who="tester")
            with TinyDB(people.store.path / "state.json", access_mode="r") as stock:
                assert held(stock.table("people")) == held(table)
                assert stock.tables() >= people.ours.tables()
