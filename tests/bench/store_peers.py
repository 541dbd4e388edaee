# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Muster's store stands beside: stock TinyDB, SQLite, and the floor, a bare append.

SQLite's documents go through Python as ours do: a transaction decides on what it reads.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tinydb import TinyDB, where
from tinydb.table import Table

from .store_fleet import Change, Document, address_of, meet, name_of, sicken
from .store_ours import Ours, lines_of
from .store_way import Way, found, none

WAL_PAGES = 1000
"""SQLite's own limit, after which it brings the log into the database."""


class Stock(Way):
    """TinyDB as it comes, with its JSONStorage, which flushes what it has written."""

    label = "stock TinyDB"

    def fill(self, documents: list[Document]) -> None:
        with self._open() as table:
            table.insert_multiple(documents)

    def update(self, turn: int) -> None:
        self._change(sicken, self.picked(turn), turn)

    def beat(self, number: int, turn: int) -> None:
        self._change(meet, number, turn)

    def beat_all(self, turn: int) -> None:
        with self._open() as table:
            table.update(lambda document: meet(document, turn))

    def reopened_update(self, turn: int) -> None:
        self.update(turn)

    def reopened_lookup(self, turn: int) -> Document:
        return self._first("name", name_of(self.picked(turn)))

    def loaded_lookup(self, turn: int) -> Document:
        return self._first("address", address_of(self.picked(turn)))

    def all_documents(self, _turn: int) -> list[Document]:
        with self._open() as table:
            return list(table.all())

    def scan_text(self, _turn: int) -> None:
        with self._open() as table:
            none(table.search(where("interface") == "ib9"))

    def scan_number(self, _turn: int) -> None:
        with self._open() as table:
            none(table.search(where("cpus") > 10_000))

    def touch_one(self) -> None:
        self.reopened_lookup(0)
        self.reopened_update(-2)

    def touch_all(self) -> None:
        self.loaded_lookup(0)
        self.reopened_update(-3)

    def lookup(self, number: int) -> Document:
        return self._first("name", name_of(number))

    def _change(self, change: Change, number: int, turn: int) -> None:
        with self._open() as table:
            table.update(lambda document: change(document, turn), where("name") == name_of(number))

    def _first(self, field: str, value: str) -> Document:
        with self._open() as table:
            return dict(found(table.get(where(field) == value)))

    @contextmanager
    def _open(self) -> Iterator[Table]:
        """It keeps nothing between two calls: to open it costs it nothing."""
        with TinyDB(self.place / "db.json") as database:
            yield database.table("nodes")


class SQLite(Way):
    """SQLite with a write-ahead log, flushed at each commit: a JSON document a row, found by its name."""

    label = "SQLite"

    def fill(self, documents: list[Document]) -> None:
        with closing(self._open()) as database:
            database.execute("pragma journal_mode = wal")
            database.execute("create table nodes (id integer primary key, name text not null unique, doc text)")
            database.execute("begin immediate")
            rows = [(document["name"], dumped(document)) for document in documents]
            database.executemany("insert into nodes (name, doc) values (?, ?)", rows)
            database.execute("commit")

    def settle(self, turn: int) -> None:
        self.database = self._open()
        self.database.execute("pragma wal_checkpoint(truncate)")
        self.beat(0, turn)

    def update(self, turn: int) -> None:
        self._change_in(self.database, sicken, self.picked(turn), turn)

    def beat(self, number: int, turn: int) -> None:
        self._change_in(self.database, meet, number, turn)

    def beat_all(self, turn: int) -> None:
        self.database.execute("begin immediate")
        changed = []
        for number, text in self.database.execute("select id, doc from nodes"):
            document = json.loads(text)
            meet(document, turn)
            changed.append((dumped(document), number))
        self.database.executemany("update nodes set doc = ? where id = ?", changed)
        self.database.execute("commit")

    def reopened_update(self, turn: int) -> None:
        self.database.close()
        self.database = self._open()
        self.update(turn)

    def reopened_lookup(self, turn: int) -> Document:
        return self._first("name", name_of(self.picked(turn)))

    def loaded_lookup(self, turn: int) -> Document:
        return self._first("json_extract(doc, '$.address')", address_of(self.picked(turn)))

    def all_documents(self, _turn: int) -> list[Document]:
        with closing(self._open()) as database:
            return [json.loads(text) for (text,) in database.execute("select doc from nodes order by id")]

    def scan_text(self, _turn: int) -> None:
        query = "select doc from nodes where json_extract(doc, '$.interface') = 'ib9'"
        none(self.database.execute(query).fetchall())

    def scan_number(self, _turn: int) -> None:
        query = "select doc from nodes where json_extract(doc, '$.cpus') > 10000"
        none(self.database.execute(query).fetchall())

    def before_compaction(self, turn: int) -> None:
        """Fill the log as far as SQLite lets it grow."""
        self.database.execute("pragma wal_checkpoint(truncate)")
        page = int(self.database.execute("pragma page_size").fetchone()[0])
        self.folded = 0
        while os.stat(f"{self._file}-wal").st_size < WAL_PAGES * page:
            self.update(turn + self.folded)
            self.folded += 1

    def compaction(self, _turn: int) -> None:
        self.database.execute("pragma wal_checkpoint(truncate)")

    def updates_a_compaction(self) -> int:
        return self.folded

    def touch_one(self) -> None:
        self.reopened_lookup(0)
        with closing(self._open()) as database:
            self._change_in(database, sicken, 0, -2)

    def touch_all(self) -> None:
        self.loaded_lookup(0)
        with closing(self._open()) as database:
            self._change_in(database, sicken, 0, -3)
            database.execute("pragma wal_checkpoint(truncate)")

    def race(self, worker: int) -> Callable[[int], None]:
        database = self._open(checkpoints=True)
        return lambda turn: self._change_in(database, sicken, worker, turn)

    def lookup(self, number: int) -> Document:
        return self._first("name", name_of(number))

    @property
    def _file(self) -> Path:
        return self.place / "nodes.db"

    def _open(self, *, checkpoints: bool = False) -> sqlite3.Connection:
        database = sqlite3.connect(self._file, isolation_level=None, timeout=30)
        database.execute("pragma synchronous = full")
        if not checkpoints:
            database.execute("pragma wal_autocheckpoint = 0")
        return database

    def _first(self, what: str, value: str) -> Document:
        with closing(self._open()) as database:
            row = found(database.execute(f"select doc from nodes where {what} = ?", (value,)).fetchone())
            return dict(json.loads(row[0]))

    def _change_in(self, database: sqlite3.Connection, change: Change, number: int, turn: int) -> None:
        name = name_of(number)
        database.execute("begin immediate")
        document = json.loads(database.execute("select doc from nodes where name = ?", (name,)).fetchone()[0])
        change(document, turn)
        database.execute("update nodes set doc = ? where name = ?", (dumped(document), name))
        database.execute("commit")


class Append(Way):
    """The floor: the bytes that our journal gets for the same change, put at the end of a file and flushed."""

    label = "append + fsync"
    flush = staticmethod(os.fsync)

    def fill(self, documents: list[Document]) -> None:
        """Let our store make each kind of change, and take what its journal got."""
        ours = Ours(self.place / "ours", self.nodes)
        ours.store = ours.begin(documents)
        for kind, change in {
            "update": ours.update,
            "beat": lambda turn: ours.beat(0, turn),
            "all": ours.beat_all,
        }.items():
            change(1 + len(kind))
            (self.place / kind).write_bytes(lines_of(ours.store.path)[-1])
        shutil.rmtree(ours.place)

    def settle(self, turn: int) -> None:
        self.bytes = {kind: (self.place / kind).read_bytes() for kind in ("update", "beat", "all")}
        self.handle = os.open(self.place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def update(self, _turn: int) -> None:
        self._append("update")

    def beat(self, _number: int, _turn: int) -> None:
        self._append("beat")

    def beat_all(self, _turn: int) -> None:
        self._append("all")

    def _append(self, kind: str) -> None:
        os.write(self.handle, self.bytes[kind])
        self.flush(self.handle)


class AppendData(Append):
    """The same without the file's times."""

    label = "append + fdatasync"
    flush = staticmethod(os.fdatasync)


def dumped(document: Document) -> str:
    return json.dumps(document, separators=(",", ":"))
