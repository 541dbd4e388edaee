# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state's tables at one point in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from tinydb.queries import QueryLike

from .document import KEYS, Document, dumped
from .snapshot import write_snapshot
from .state import State

EPOCH_ROW = "state"
"""The row of the table meta that has the last fencing token."""


class Tables:
    """A consistent view. What it hands out is the caller's own copy."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def serial(self) -> int:
        """How many transactions have changed the state since it was made."""
        return self._state.serial

    @property
    def lineage(self) -> str:
        """Which cluster's state this is: it never changes."""
        return self._state.lineage

    def write_to(self, file: BinaryIO) -> None:
        """Write all of it as a snapshot."""
        write_snapshot(file, self._state)

    @property
    def changed(self) -> Mapping[str, str]:
        """Who made the last transaction, why, and when (``who``, ``why``, ``at``); empty before the first."""
        return dict(self._state.changed)

    @property
    def epoch(self) -> int:
        """The last fencing token that was given."""
        row = self.get("meta", EPOCH_ROW)
        return int(row["epoch"]) if row else 0

    def names(self) -> list[str]:
        """The tables that have documents, and Muster's own."""
        return sorted({*KEYS, *(name for name in self._state.tables if self.count(name))})

    def count(self, table: str) -> int:
        """How many documents ``table`` has."""
        return self._state.table(table).count

    def get(self, table: str, key: str) -> Document | None:
        """The document named ``key``, or None. Of a snapshot only this document is read."""
        found = self.named(table, key)
        return found[1] if found else None

    def named(self, table: str, key: str) -> tuple[int, Document] | None:
        """The same with TinyDB's number."""
        return self._state.named(table, key)

    def rev(self, table: str, key: str) -> int:
        """The serial of the transaction that changed this document last; 0 if there is none."""
        number = self.number(table, key)
        return 0 if number is None else self._state.table(table).rev(number)

    def rev_of(self, table: str, number: int) -> int:
        """The same, by TinyDB's number."""
        return self._state.table(table).rev(number)

    def all(self, table: str) -> list[Document]:
        """All documents of ``table``, in the order in which they came."""
        return [document for _number, document in self.items(table)]

    def search(self, table: str, query: QueryLike) -> list[Document]:
        """The documents that a TinyDB query matches."""
        return [document for _number, document in self.matching(table, query)]

    def number(self, table: str, key: str) -> int | None:
        """TinyDB's number of the document named ``key``."""
        return self._state.table(table).find(key)

    def document(self, table: str, number: int) -> Document | None:
        """The document with this number."""
        return self._state.table(table).get(number)

    def items(self, table: str, needle: bytes = b"") -> Iterator[tuple[int, Document]]:
        """All documents with their numbers; those whose JSON lacks ``needle`` may be left out."""
        return self._state.table(table).items(needle)

    def matching(self, table: str, query: QueryLike) -> Iterator[tuple[int, Document]]:
        """The documents that a TinyDB query matches, with their numbers. One that asks for a name reads no other."""
        name = _name(query, KEYS.get(table))
        if name is None:
            return (item for item in self.items(table, _needle(query)) if query(item[1]))
        found = self.named(table, name)
        return iter([found] if found else [])


def _name(query: QueryLike, key: str | None) -> str | None:
    """The name that a query asks for, if that is all it asks."""
    found: Any = getattr(query, "_hash", None)
    asks = isinstance(found, tuple) and len(found) == 3 and found[:2] == ("==", (key,))
    return found[2] if key and asks and isinstance(found[2], str) else None


def _needle(query: QueryLike) -> bytes:
    """What the JSON of every document that matches must contain: of a comparison with a text, that text."""
    found: Any = getattr(query, "_hash", None)
    if isinstance(found, tuple) and found and found[0] == "and":
        return max((_needle_of(part) for part in found[1]), key=len, default=b"")
    return _needle_of(found)


def _needle_of(found: Any) -> bytes:
    if isinstance(found, tuple) and len(found) == 3 and found[0] == "==" and isinstance(found[2], str):
        return dumped(found[2])
    return b""
