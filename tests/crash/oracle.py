# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of the bank's store (see ``worker.py``) whatever happened to the processes that wrote it."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from muster.store import DirectoryStore, Record, Tables, verify
from muster.store.edits import edited
from muster.store.journal import Journal, read_segment
from muster.store.loading import JOURNAL

ACCOUNTS, START = 8, 1000
SWEEP, KEPT = 5, 10
"""Every so many transactions of a clerk, all but its so many youngest rows leave the ledger."""

Contents = dict[tuple[str, int], dict[str, Any]]
"""Every document, by table and number."""


def books(tables: Tables) -> dict[str, int]:
    """How many transactions each clerk has made; fails if any of them is there by half, or twice."""
    accounts = tables.all("nodes")
    assert [row["name"] for row in accounts] == [f"account{number}" for number in range(ACCOUNTS)], accounts
    balance = sum(row["balance"] for row in accounts)
    assert balance == ACCOUNTS * START, f"serial {tables.serial}: the balance is {balance}"
    counts = {row["id"]: int(row["count"]) for row in tables.all("jobs")}
    moves = sum(row["moves"] for row in accounts)
    assert moves == 2 * sum(counts.values()), f"serial {tables.serial}: {moves} moves, and {counts}"
    rows = sorted((row["clerk"], row["number"]) for row in tables.all("ledger"))
    expected = sorted((clerk, number) for clerk, count in counts.items() for number in _in_ledger(count))
    assert rows == expected, f"serial {tables.serial}: the ledger has {rows}, and the counters are {counts}"
    return counts


def contents(tables: Tables) -> Contents:
    """Everything that a state holds."""
    return {(name, number): row for name in tables.names() for number, row in tables.items(name)}


def history(path: Path) -> list[Record]:
    """All transactions that the store at ``path`` has on record, packed ones as well, in order."""
    lines = [line for segment in Journal(path / JOURNAL).segments().values() for line in read_segment(segment)[0]]
    return [line.document for line in lines if "serial" in line.document]


def acknowledged(said: Path) -> dict[str, list[tuple[int, int]]]:
    """What each clerk has acknowledged: number and serial. Serial 0: it has only read that so many are there."""
    found: dict[str, list[tuple[int, int]]] = {}
    for path in said.iterdir():
        lines = path.read_bytes().split(b"\n")[:-1]
        found[path.name] = [(int(number), int(serial)) for number, serial in (line.split() for line in lines)]
    return found


def check_running(store: DirectoryStore, said: Path) -> None:
    """While clerks write: what was acknowledged is there, and of each clerk at most one transaction more."""
    before = acknowledged(said)
    counts = books(store.read())
    after = acknowledged(said)
    for clerk, lines in before.items():
        least = max((number for number, _serial in lines), default=0)
        there = counts.get(clerk, 0)
        assert there >= least, f"{clerk} was told of {least} transactions, {there} are there"
    for clerk, count in counts.items():
        most = max((number for number, _serial in after.get(clerk, ())), default=0) + 1
        assert count <= most, f"{clerk} can have made {most} transactions, {count} are there"


def check_rest(path: Path, said: Path) -> Tables:
    """When nobody writes any more: the same, the whole history, and the files."""
    kept = DirectoryStore(path, tell=refuse)
    check_running(kept, said)
    tables = kept.read()
    records = history(path)
    check_history(tables, records)
    of_serial = {record["serial"]: (record["who"], _number(record)) for record in records}
    for clerk, lines in acknowledged(said).items():
        for number, serial in lines:
            assert not serial or of_serial[serial] == (clerk, number), f"{clerk}'s number {number}: {of_serial[serial]}"
    check_files(path)
    return tables


def check_history(tables: Tables, records: list[Record]) -> None:
    """Serials rise by one from the first on, each clerk's numbers as well, and together they make the state."""
    serials = [record["serial"] for record in records]
    assert serials == list(range(1, tables.serial + 1)), f"serials to {tables.serial}: {serials}"
    numbers = defaultdict(list)
    replayed: Contents = {}
    for record in records:
        if (number := _number(record)) is not None:
            numbers[record["who"]].append(number)
        for change in record["changes"]:
            place = change["table"], change["id"]
            document = edited(replayed.pop(place, None), change["edits"])
            if document is not None:
                replayed[place] = document
    for clerk, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), f"{clerk}: {found}"
    assert replayed == contents(tables), "the history does not lead to the state"


def check_files(path: Path) -> None:
    """Every byte is as it was written, and the next writer finds nothing to mend. Changes nothing."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "copy"
        shutil.copytree(path, copy)
        found = verify(copy)
        nothing_yet = [f"{copy} holds no state: run sync.yml, or name the store"] if not found.serial else []
        assert found.problems in ([], nothing_yet), found.problems
        with DirectoryStore(copy, tell=refuse).transaction(who="next", why="go on") as draft:
            draft.put("meta", {"key": "next"})


def refuse(news: str) -> None:
    """Nothing that these tests do to processes damages anything, so there is nothing to tell."""
    raise AssertionError(f"the store found damage where there was none: {news}")


def _in_ledger(count: int) -> range:
    """Which of a clerk's transactions are in the ledger after so many."""
    return range(max(0, count - count % SWEEP - KEPT) + 1, count + 1)


def _number(record: Record) -> int | None:
    """Which of its clerk's transactions this is."""
    for change in record["changes"]:
        if change["table"] == "jobs":
            last = change["edits"][-1]["to"]
            return int(last["count"] if isinstance(last, dict) else last)
    return None
