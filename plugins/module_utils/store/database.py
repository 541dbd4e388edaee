# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store as a TinyDB: for whoever knows TinyDB and opens the state with it.

    with Database("~/.local/state/muster") as db:
        db.table("nodes").search(Query().health.state == "healthy")

Every call that changes something is a transaction of its own: whole, on disk when it returns, and safe beside any other
process. Stock TinyDB's own storages cannot be that: they are given the whole state to write, whatever has changed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Union, cast

from tinydb import TinyDB
from tinydb.queries import QueryLike
from tinydb.storages import Storage
from tinydb.table import Document as TinyDocument
from tinydb.table import Table

from .actor import actor
from .directory import DirectoryStore
from .document import Document
from .draft import Draft
from .tables import Tables

Fields = Union[Mapping[str, Any], Callable[[MutableMapping[str, Any]], None]]  # noqa: UP007  # also read by Python 3.9
Updater = Callable[[dict[int, Any]], None]


class StoreStorage(Storage):
    """What TinyDB's tables share: the store, and the transaction that this thread is in."""

    def __init__(self, store: DirectoryStore, who: str) -> None:
        self.store = store
        self.who = who
        self._mine = threading.local()

    def tables(self) -> Tables:
        """The state as this thread sees it: that of its transaction, else the newest."""
        return self._draft() or self.store.read()

    @contextlib.contextmanager
    def transaction(self, why: str) -> Iterator[Draft]:
        """This thread's transaction; a new one if it is in none."""
        draft = self._draft()
        if draft is not None:
            yield draft
            return
        with self.store.transaction(who=self.who, why=why) as draft:
            self._mine.draft = draft
            try:
                yield draft
            finally:
                self._mine.draft = None

    def read(self) -> dict[str, dict[str, Any]]:
        """Everything at once, as TinyDB's storages give it."""
        tables = self.tables()
        return {name: {str(number): row for number, row in tables.items(name)} for name in tables.names()}

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Make the state hold ``data`` and nothing else."""
        with self.transaction("write all tables") as draft, draft.statement():
            for name in {*draft.names(), *data} - ({"meta"} - data.keys()):  # whoever drops all tables needs the epoch
                rows = {int(number): dict(row) for number, row in data.get(name, {}).items()}
                for number, _row in list(draft.items(name)):
                    if number not in rows:
                        draft.write(name, number, None)
                for number, row in rows.items():
                    draft.write(name, number, row)

    def _draft(self) -> Draft | None:
        draft: Draft | None = getattr(self._mine, "draft", None)
        if draft is not None:
            draft.refuse_fork()
        return draft


class StoreTable(Table):
    """TinyDB's table, which reads only what it is asked for and writes only what has changed."""

    def __init__(self, storage: StoreStorage, name: str, cache_size: int = 0, persist_empty: bool = False) -> None:
        super().__init__(storage, name, cache_size=0)  # another process may change what a cached answer says
        self._store = storage

    def rev(self, doc_id: int) -> int:
        """The serial of the transaction that changed this document last; 0 if there is no such document."""
        return self._store.store.read().rev_of(self.name, doc_id)

    def insert(self, document: Mapping[str, Any]) -> int:
        """As TinyDB's."""
        with self._store.transaction(f"insert into {self.name}"):
            return super().insert(document)

    def insert_multiple(self, documents: Iterable[Mapping[str, Any]]) -> list[int]:
        """As TinyDB's, in one transaction."""
        with self._store.transaction(f"insert into {self.name}"):
            return super().insert_multiple(documents)

    def search(self, cond: QueryLike) -> list[TinyDocument]:
        """As TinyDB's."""
        return [TinyDocument(row, number) for number, row in self._store.tables().matching(self.name, cond)]

    def get(  # type: ignore[override]  # TinyDB gives the same signature in eight overloads
        self, cond: QueryLike | None = None, doc_id: int | None = None, doc_ids: list[int] | None = None
    ) -> TinyDocument | list[TinyDocument] | None:
        """As TinyDB's. Of a snapshot, only the documents with these ids are read."""
        tables = self._store.tables()
        if doc_id is not None:
            row = tables.document(self.name, doc_id)
            return None if row is None else TinyDocument(row, doc_id)
        if doc_ids is not None:
            rows = [(number, tables.document(self.name, number)) for number in sorted(set(doc_ids))]
            return [TinyDocument(row, number) for number, row in rows if row is not None]
        if cond is None:
            raise RuntimeError("You have to pass either cond or doc_id or doc_ids")
        return next((TinyDocument(row, number) for number, row in tables.matching(self.name, cond)), None)

    def update(self, fields: Fields, cond: QueryLike | None = None, doc_ids: Iterable[int] | None = None) -> list[int]:
        """As TinyDB's, in one transaction."""
        with self._store.transaction(f"update {self.name}") as draft:
            if doc_ids is None:
                doc_ids = self._numbers(draft, cond)
            return super().update(fields, doc_ids=doc_ids)

    def update_multiple(self, updates: Iterable[tuple[Fields, QueryLike]]) -> list[int]:
        """As TinyDB's, in one transaction."""
        with self._store.transaction(f"update {self.name}"):
            return super().update_multiple(updates)

    def upsert(self, document: Mapping[str, Any], cond: QueryLike | None = None) -> list[int]:
        """As TinyDB's, in one transaction."""
        with self._store.transaction(f"upsert into {self.name}"):
            return super().upsert(document, cond)

    def remove(self, cond: QueryLike | None = None, doc_ids: Iterable[int] | None = None) -> list[int]:
        """As TinyDB's, in one transaction."""
        if cond is None and doc_ids is None:
            return super().remove()
        with self._store.transaction(f"remove from {self.name}") as draft:
            return super().remove(doc_ids=self._numbers(draft, cond) if doc_ids is None else doc_ids)

    def _numbers(self, draft: Draft, cond: QueryLike | None) -> list[int]:
        found = draft.items(self.name) if cond is None else draft.matching(self.name, cond)
        return [number for number, _row in found]

    def _read_table(self) -> dict[str, Mapping[str, Any]]:
        return {str(number): row for number, row in self._store.tables().items(self.name)}

    def __len__(self) -> int:
        return self._store.tables().count(self.name)

    def _update_table(self, updater: Updater) -> None:
        with self._store.transaction(f"update {self.name}") as draft, draft.statement():
            rows = _Rows(draft, self.name)
            updater(cast("dict[int, Any]", rows))
            rows.write()

    def _get_next_id(self) -> int:
        with self._store.transaction(f"insert into {self.name}") as draft:
            return draft.next_number(self.name)


class Database(TinyDB):
    """The state in a store's directory."""

    table_class: type[Table] = StoreTable

    def __init__(self, store: DirectoryStore | Path | str, *, who: str | None = None) -> None:
        if not isinstance(store, DirectoryStore):
            store = DirectoryStore(Path(store).expanduser().absolute())
        self.store = store
        super().__init__(storage=lambda: StoreStorage(store, who or actor("tinydb")))

    def transaction(self, why: str) -> contextlib.AbstractContextManager[Draft]:
        """Make all that happens inside one transaction, of this thread."""
        return self._bridge.transaction(why)

    def tables(self) -> set[str]:
        """The tables that have documents."""
        found = self._bridge.tables()
        return {name for name in found.names() if found.count(name)}

    def drop_table(self, name: str) -> None:
        """As TinyDB's."""
        self.table(name).truncate()

    def drop_tables(self) -> None:
        """As TinyDB's."""
        self._bridge.write({})

    @property
    def _bridge(self) -> StoreStorage:
        return cast(StoreStorage, self.storage)


class _Rows(MutableMapping[int, Document]):
    """A table as TinyDB's updaters see it: copies that they change in place, written back when they are done."""

    def __init__(self, draft: Draft, table: str) -> None:
        self._draft = draft
        self._table = table
        self._taken: dict[int, Document] = {}

    def __getitem__(self, number: int) -> Document:
        if number not in self._taken:
            row = self._draft.document(self._table, number)
            if row is None:
                raise KeyError(number)
            self._taken[number] = row
        return self._taken[number]

    def __setitem__(self, number: int, row: Document) -> None:
        self._taken.pop(number, None)
        self._draft.write(self._table, number, row)

    def __delitem__(self, number: int) -> None:
        if number not in self:
            raise KeyError(number)
        self._taken.pop(number, None)
        self._draft.write(self._table, number, None)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self._draft.document(self._table, number) is not None

    def __iter__(self) -> Iterator[int]:
        return iter([number for number, _row in self._draft.items(self._table)])

    def __len__(self) -> int:
        return self._draft.count(self._table)

    def clear(self) -> None:
        """Remove all."""
        for number in self:
            self._draft.write(self._table, number, None)

    def write(self) -> None:
        """Give the draft what was changed in place."""
        for number, row in self._taken.items():
            self._draft.write(self._table, number, row)
