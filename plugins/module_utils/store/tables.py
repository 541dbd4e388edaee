# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state's tables at one point in time, read and changed through TinyDB."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from tinydb import TinyDB, where
from tinydb.queries import QueryLike
from tinydb.storages import Storage
from tinydb.table import Table

from .document import KEYS, Document, Raw


class HeldInMemory(Storage):
    """TinyDB over a state that was read whole, once: what TinyDB writes stays here until the transaction ends."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw

    def read(self) -> Raw:
        return self.raw

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        self.raw = data


class Tables:
    """A consistent view. What it hands out is the caller's own copy."""

    def __init__(self, raw: Raw) -> None:
        self._held = HeldInMemory(raw)
        self._db = TinyDB(storage=lambda: self._held)

    @property
    def serial(self) -> int:
        """How many transactions have changed the state since it was made."""
        return int(self._meta()["serial"])

    @property
    def lineage(self) -> str:
        """Which cluster's state this is: it never changes."""
        return str(self._meta()["lineage"])

    def get(self, table: str, key: str) -> Document | None:
        """The document named ``key``, or None."""
        row = self._row(table, key)
        return None if row is None else copy.deepcopy(dict(row))

    def all(self, table: str) -> list[Document]:
        """All documents of ``table``, in the order in which they came."""
        return [copy.deepcopy(dict(row)) for row in self._db.table(table)]

    def search(self, table: str, query: QueryLike) -> list[Document]:
        """The documents that a TinyDB query matches."""
        return [copy.deepcopy(dict(row)) for row in self._db.table(table).search(query)]

    def _meta(self) -> Document:
        meta = self.get("meta", "state")
        assert meta is not None, "document.decoded() lets no state without it through"
        return meta

    def _row(self, table: str, key: str) -> Any:
        return self._db.table(table).get(where(KEYS[table]) == key)


class Draft(Tables):
    """Tables that a transaction may change. It knows what changed, so that an empty change costs nothing."""

    def __init__(self, raw: Raw) -> None:
        super().__init__(raw)
        self.changed: set[tuple[str, str]] = set()

    def put(self, table: str, document: Document) -> bool:
        """Store ``document`` under its own name, in place of the one there; whether that changed anything."""
        key = document[KEYS[table]]
        there = self._row(table, key)
        if there is not None and dict(there) == document:
            return False
        self._write(self._db.table(table), document, None if there is None else there.doc_id)
        self.changed.add((table, key))
        return True

    def remove(self, table: str, keys: Iterable[str]) -> int:
        """Remove these documents; how many there were."""
        wanted = list(keys)
        gone = self._db.table(table).remove(where(KEYS[table]).one_of(wanted)) if wanted else []
        self.changed.update((table, key) for key in wanted if gone)
        return len(gone)

    def next_epoch(self) -> int:
        """The next fencing token: it only ever rises, whatever becomes of the job."""
        meta = self._meta()
        self.put("meta", {**meta, "epoch": meta["epoch"] + 1})
        return int(meta["epoch"]) + 1

    def sealed(self, *, who: str, why: str, at: str) -> Raw:
        """The changed state, one serial further, as TinyDB lays it out."""
        meta = self._meta()
        self.put("meta", {**meta, "serial": meta["serial"] + 1, "changed": {"who": who, "why": why, "at": at}})
        return self._held.raw

    @staticmethod
    def _write(table: Table, document: Document, doc_id: int | None) -> None:
        fresh = copy.deepcopy(document)

        def replace(row: Any) -> None:
            row.clear()
            row.update(fresh)

        if doc_id is None:
            table.insert(fresh)
        else:
            table.update(replace, doc_ids=[doc_id])
