# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""History tells who changed what, when and why, truly enough to do it all again; folding and packing lose nothing."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.model import Damaged, utc_now
from muster.model.times import UTC, iso
from muster.store import DirectoryStore, Record, back_up, restore

from .disk import holding, put

Rows = dict[str, dict[int, Any]]


def done_again(records: Iterable[Record]) -> Rows:
    """What comes out if each change is made as it is told, by the simplest of means; fails where ``from`` is untrue."""
    tables: Rows = {}
    for record in records:
        for change in record["changes"]:
            rows = tables.setdefault(change["table"], {})
            for edit in change["edits"]:
                there: Any = rows
                steps = [change["id"], *edit["path"]]
                for step in steps[:-1]:
                    there = there[step]
                last = steps[-1]
                if isinstance(there, list) or last in there:
                    assert "from" in edit, (record["serial"], edit)
                    assert there[last] == edit["from"], (record["serial"], edit)
                else:
                    assert "from" not in edit, (record["serial"], edit)
                if "to" in edit:
                    there[last] = copy.deepcopy(edit["to"])
                else:
                    del there[last]
    return {name: rows for name, rows in tables.items() if rows}


def serials(store: DirectoryStore, since: str = "") -> list[int]:
    return [record["serial"] for record in store.history(since)]


def gaps(store: DirectoryStore) -> list[str]:
    """What a reader of the whole history is told to be missing."""
    news: list[str] = []
    list(DirectoryStore(store.path, tell=news.append).history())
    return [said.partition(": `muster state verify`")[0] for said in news if said.startswith("the history lacks")]


def test_each_transaction_says_who_when_why_and_through_what_with_before_and_after(store: DirectoryStore) -> None:
    begin = iso(utc_now())
    with store.transaction(who="ansible:ann@desk", why="sync", origin="play Sync") as draft:
        draft.put("nodes", {"name": "n1", "labels": {"rack": "a"}, "slots": [1, 2]})
    with store.transaction(who="muster:bob@desk", why="fan broken") as draft:
        draft.put("nodes", {"name": "n1", "labels": {"rack": "b", "disk": "ssd"}, "slots": [1, 3]})
    with store.transaction(who="muster:bob@desk", why="sold") as draft:
        draft.remove("nodes", ["n1"])
    first, second, third = store.history()
    assert (first["serial"], first["who"], first["why"]) == (1, "ansible:ann@desk", "sync")
    assert first["origin"] == "play Sync"
    assert "origin" not in second
    assert begin <= first["at"] <= second["at"] <= third["at"] <= iso(utc_now())
    (added,) = first["changes"]
    assert (added["table"], added["key"]) == ("nodes", "n1")
    assert added["edits"] == [{"path": [], "to": {"name": "n1", "labels": {"rack": "a"}, "slots": [1, 2]}}]
    assert second["changes"][0]["edits"] == [
        {"path": ["labels", "rack"], "from": "a", "to": "b"},
        {"path": ["labels", "disk"], "to": "ssd"},
        {"path": ["slots", 1], "from": 2, "to": 3},
    ]
    (gone,) = third["changes"][0]["edits"]
    assert gone == {"path": [], "from": {"name": "n1", "labels": {"rack": "b", "disk": "ssd"}, "slots": [1, 3]}}


def test_what_changed_nothing_or_was_given_up_is_no_part_of_it(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    put(store, {"name": "n1"})
    with pytest.raises(RuntimeError), store.transaction(who="tester", why="given up") as draft:
        draft.put("nodes", {"name": "n2"})
        raise RuntimeError
    with store.rehearsal() as draft:
        draft.put("nodes", {"name": "n3"})
    assert serials(store) == [1]


def test_of_a_store_that_nobody_has_written_there_is_none(store: DirectoryStore) -> None:
    assert list(store.history()) == []
    assert not store.path.exists()


def test_folding_and_packing_change_not_a_word_of_it(store: DirectoryStore) -> None:
    told: list[Record] = []
    for number in range(12):
        put(store, {"name": f"n{number % 3}", "size": number})
        told.append(list(store.history())[-1])
        if number % 3 == 2:
            store.compact(who="tester")
            assert list(DirectoryStore(store.path).history()) == told
    assert len(list((store.path / "journal").glob("*.gz"))) > 1
    assert list(store.history()) == told


names = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "naïve\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("klm"), inner, max_size=3),
    max_leaves=6,
)
steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "remove", "end", "end", "fold"]), names, values), max_size=25
)


@given(steps)
def test_done_again_from_the_beginning_it_makes_the_same_state(
    tmp_path_factory: pytest.TempPathFactory, series: list[tuple[str, str, Any]]
) -> None:
    store = DirectoryStore(tmp_path_factory.mktemp("again"))
    queue = [*series, ("end", "a", None)]
    while queue:
        with store.transaction(who="tester", why="some") as draft:
            while (step := queue.pop(0))[0] in ("put", "remove"):
                if step[0] == "put":
                    draft.put("nodes", {"name": step[1], "value": step[2]})
                else:
                    draft.remove("nodes", [step[1]])
        if step[0] == "fold":
            store.compact(who="tester")
    assert done_again(store.history()) == holding(store)
    assert serials(store) == list(range(1, store.read().serial + 1))


def test_it_goes_on_through_a_restore_and_through_a_loss(store: DirectoryStore) -> None:
    put(store, {"name": "n1", "size": 1})
    backup = back_up(store).path
    put(store, {"name": "n1", "size": 2}, {"name": "n2"})
    restore(store, backup, who="ann", force=True)
    put(store, {"name": "n3"})
    put(store, {"name": "n4"})
    segment = max((store.path / "journal").iterdir())
    lines = segment.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-1]))
    recovered = DirectoryStore(store.path, tell=lambda _news: None)
    put(recovered, {"name": "n5"})
    records = list(recovered.history())
    assert [record["serial"] for record in records] == [1, 2, 3, 4, 6, 7]
    assert [record["why"].split(":")[0] for record in records[2:]] == [
        f"restore {backup.name}, serial 1",
        "test",
        "recovered",
        "test",
    ]
    assert gaps(recovered) == [], "what was lost is told by what recovered it"
    assert records[4]["lost"] == 1
    assert "is lost, 1 transaction at most (serial 5)" in records[4]["why"]
    assert done_again(records) == holding(recovered)


class TestSince:
    @pytest.fixture
    def long(self, store: DirectoryStore) -> DirectoryStore:
        """Nine transactions in four files."""
        for number in range(9):
            put(store, {"name": "n1", "size": number})
            if number % 2:
                store.compact(who="tester")
        return store

    def test_from_any_moment_on_it_tells_all_that_came_then_and_nothing_before(self, long: DirectoryStore) -> None:
        records = list(long.history())
        for record in records:
            assert serials(long, record["at"]) == [other["serial"] for other in records if other["at"] >= record["at"]]
        assert serials(long, "2000-01-01T00:00:00.000000Z") == list(range(1, 10))
        assert serials(long, iso(utc_now())) == []

    def test_older_files_need_not_be_there(self, long: DirectoryStore) -> None:
        at = [record["at"] for record in long.history()]
        for path in sorted((long.path / "journal").iterdir())[:2]:
            path.unlink()
        assert serials(long, at[6]) == [7, 8, 9]
        assert serials(long) == [5, 6, 7, 8, 9]
        assert gaps(long) == [], "who moved them away knows it"


def test_a_clock_that_was_put_back_hides_nothing(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for hour in (10, 12, 9, 13):
        at = datetime(2026, 11, 1, hour, tzinfo=UTC)
        monkeypatch.setattr("muster.store.journal.utc_now", lambda at=at: at)
        if hour == 9:
            store.compact(who="tester")
        put(store, {"name": "n1", "size": hour})
    assert serials(store, "2026-11-01T11:00:00.000000Z") == [2, 4]


class TestDamage:
    @pytest.fixture
    def long(self, store: DirectoryStore) -> DirectoryStore:
        """Twelve transactions, four a file; the oldest two are packed."""
        for number in range(12):
            put(store, {"name": "n1", "size": number})
            if number % 4 == 3:
                store.compact(who="tester")
        return store

    def spoil(self, path: Path, place: int) -> None:
        text = bytearray(path.read_bytes())
        text[place] ^= 4
        path.write_bytes(text)

    def test_what_comes_before_and_after_it_is_still_told(self, long: DirectoryStore) -> None:
        segment = max((long.path / "journal").glob("*.jsonl"))
        text = segment.read_bytes()
        self.spoil(segment, text.index(b'"serial":10'))
        told = serials(long)
        assert told == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert gaps(long) == ["the history lacks serial 10 to 12"]
        put(long, {"name": "n2"})
        assert serials(long) == [*told, 13]
        assert gaps(long) == ["the history lacks serial 10 to 12"]

    @pytest.mark.parametrize("place", [2, 12, -20, -3])
    def test_a_packed_file_that_is_damaged_is_passed_over(self, long: DirectoryStore, place: int) -> None:
        self.spoil(min((long.path / "journal").glob("*.gz")), place)
        told = serials(long)
        assert set(told) >= {9, 10, 11, 12}
        missing = sorted({*range(1, 13)} - {*told})
        which = f"{missing[0]} to {missing[-1]}" if len(missing) > 1 else str(*missing)
        assert gaps(long) == [f"the history lacks serial {which}" for _one in missing[:1]]

    def test_a_journal_that_is_gone_is_no_history_in_which_nothing_happened(self, long: DirectoryStore) -> None:
        shutil.rmtree(long.path / "journal")
        assert serials(long) == []
        assert gaps(long) == ["the history lacks serial 1 to 12"]

    def test_where_nothing_can_be_used_it_says_so(self, long: DirectoryStore) -> None:
        for path in [*long.path.glob("state.json*"), *long.path.glob("journal/*")]:
            path.write_bytes(b"")
        with pytest.raises(Damaged, match="holds no state that can be used"):
            serials(DirectoryStore(long.path))

    def test_a_file_that_is_packed_while_it_is_read_is_not_missed(self, long: DirectoryStore) -> None:
        told = []
        for record in (records := DirectoryStore(long.path).history()):
            if not told:
                for _turn in range(2):
                    put(long, {"name": "n2", "size": record["at"]}, {"name": "n3", "size": _turn})
                    long.compact(who="tester")
            told.append(record["serial"])
        assert next(records, None) is None
        assert told == list(range(1, 13))
