# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state's tables at one point in time, and the changes that a transaction is about to make to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from tinydb.queries import QueryLike

from ..model import Conflict, InvalidInput, StoreError
from .document import KEYS, Document, dumped, own
from .edits import Edit, difference
from .rows import Change
from .snapshot import OWN_TABLES, write_snapshot
from .state import Record, State

_EPOCH_ROW = "state"
EPOCH_LEAP = 1000
"""How far the epoch leaps when transactions were lost or undone, any of which may have given one."""


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
        row = self.get("meta", _EPOCH_ROW)
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


class Draft(Tables):
    """Tables that a transaction may change. It knows what changed, so that an empty change costs nothing."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._process = os.getpid()
        self._work: dict[str, dict[int, Document | None]] = {}
        self._before: dict[tuple[str, int], Document | None] = {}
        self._edits: dict[tuple[str, int], list[Edit]] = {}
        """What is known to lead from a document as it was to one that was put since."""
        self._names: dict[str, dict[str, int | None]] = {}
        self._last: dict[str, int] = {}

    def put(self, table: str, document: Document, *, rev: int | None = None) -> bool:
        """Store ``document`` under its own name, in place of the one there; whether that changed anything.

        With ``rev``, only if the document there is still of that revision (0: not there), else :class:`Conflict`.
        """
        key = document[KEYS[table]]
        if rev is not None and rev != (found := self.rev(table, key)):
            raise Conflict(
                f"{key} in {table} is at revision {found}, not {rev}: somebody changed it meanwhile", "read it again"
            )
        number = self.number(table, key)
        if number is None:
            self.write(table, self.next_number(table), own(document))
            return True
        document = own(document)
        edits = difference(self._current(table, number), document)
        if edits:
            first = number not in self._work.get(table, {})
            self.write(table, number, document)
            if first:
                self._edits[table, number] = edits
        return bool(edits)

    def remove(self, table: str, keys: Iterable[str]) -> int:
        """Remove these documents; how many there were."""
        numbers = {self.number(table, key) for key in keys} - {None}
        for number in numbers:
            self.write(table, number, None)  # type: ignore[arg-type]
        return len(numbers)

    def next_epoch(self, leap: int = 1) -> int:
        """The next fencing token: it only ever rises, whatever becomes of the job."""
        epoch = self.epoch + leap
        self.put("meta", {"key": _EPOCH_ROW, "epoch": epoch})
        return epoch

    def leap(self, *given: int) -> None:
        """Let the epoch leap beyond these, and beyond what may have been given without anybody knowing."""
        self.next_epoch(max(self.epoch, *given) - self.epoch + EPOCH_LEAP)

    def become(self, source: Tables) -> None:
        """Hold what ``source`` holds, under the same numbers, and nothing else; but for the epoch, which only rises."""
        for table in {*self.names(), *source.names()} - {"meta"}:
            key = KEYS.get(table)
            wanted = dict(source.items(table))
            for number, there in list(self.items(table)):
                if number not in wanted or (key and there[key] != wanted[number][key]):
                    self.write(table, number, None)
            for number, document in wanted.items():
                if difference(self._current(table, number), document):
                    self.write(table, number, document)

    def names(self) -> list[str]:
        """As in :class:`Tables`."""
        return sorted({*super().names(), *(name for name in self._work if self.count(name))})

    def next_number(self, table: str) -> int:
        """A number for a new document, which is given only once."""
        self._last[table] = max(self._last.get(table, 0), self._state.table(table).last) + 1
        return self._last[table]

    def write(self, table: str, number: int, document: Document | None) -> None:
        """Put ``document`` (the draft's own from now on) at this number, or nothing. Muster's tables name each once."""
        if table in OWN_TABLES:
            raise InvalidInput(f"table {table} belongs to the store", "choose another name")
        if table == "meta":
            self._refuse_older_epoch(number, document)
        if key := KEYS.get(table):
            self._rename(table, key, number, document)
        self._edits.pop((table, number), None)
        self._work.setdefault(table, {})[number] = document
        self._last[table] = max(self._last.get(table, 0), number)

    @contextlib.contextmanager
    def statement(self) -> Iterator[None]:
        """Take back what is written inside if it raises: whoever catches that may go on with the transaction."""
        work = {table: dict(found) for table, found in self._work.items()}
        names = {table: dict(found) for table, found in self._names.items()}
        edits = dict(self._edits)
        try:
            yield
        except BaseException:
            self._work, self._names, self._edits = work, names, edits
            raise

    def refuse_fork(self) -> None:
        """Raise :class:`StoreError` in a process that was forked meanwhile: nothing of this would ever be written."""
        if os.getpid() != self._process:
            raise StoreError(
                "a transaction was begun in one process and goes on in another, which was forked from it",
                "open the store in the process that writes; nothing was changed",
            )

    def changes(self) -> list[Change]:
        """What is not as it was: the transaction as the journal gets it."""
        self.refuse_fork()
        found = []
        for table, documents in self._work.items():
            key = KEYS.get(table)
            for number, document in documents.items():
                before = self._original(table, number)
                if edits := self._edits.get((table, number)) or difference(before, document):
                    name = {"key": (document or before or {})[key]} if key else {}
                    found.append({"table": table, "id": number, **name, "edits": edits})
        return found

    def written(self, table: str, number: int) -> Document | None:
        """The document that was put at this number, the draft's own."""
        return self._work[table][number]

    def count(self, table: str) -> int:
        """As in :class:`Tables`."""
        there = self._state.table(table)
        work = self._work.get(table, {})
        return there.count + sum(
            (document is not None) - (self._original(table, number) is not None) for number, document in work.items()
        )

    def named(self, table: str, key: str) -> tuple[int, Document] | None:
        """As in :class:`Tables`."""
        number = self.number(table, key)
        document = None if number is None else self.document(table, number)
        return None if number is None or document is None else (number, document)

    def number(self, table: str, key: str) -> int | None:
        """As in :class:`Tables`."""
        names = self._names.get(table, {})
        return names[key] if key in names else super().number(table, key)

    def document(self, table: str, number: int) -> Document | None:
        """As in :class:`Tables`."""
        there = self._current(table, number)
        return None if there is None else own(there)

    def items(self, table: str, needle: bytes = b"") -> Iterator[tuple[int, Document]]:
        """As in :class:`Tables`."""
        work = dict(self._work.get(table, {}))
        for number, document in super().items(table, b"" if work else needle):
            if number not in work:
                yield number, document
            elif (changed := work.pop(number)) is not None:
                yield number, own(changed)
        for number, added in work.items():
            if added is not None:
                yield number, own(added)

    def _rename(self, table: str, key: str, number: int, document: Document | None) -> None:
        """Let the name of ``document`` lead to this number, and that of the one it replaces nowhere."""
        if document is not None and not isinstance(document.get(key), str):
            raise InvalidInput(f"a document of the table {table} must have a {key} that is a string")
        if document is not None and self.number(table, document[key]) not in (None, number):
            raise InvalidInput(f"the table {table} has {document[key]} already")
        names, before = self._names.setdefault(table, {}), self._current(table, number)
        if before is not None:
            names[before[key]] = None
        if document is not None:
            names[document[key]] = number

    def _refuse_older_epoch(self, number: int, document: Document | None) -> None:
        """Nodes refuse whoever comes with an older one, so a token must not be given again."""
        there = self._current("meta", number)
        if there and there["key"] == _EPOCH_ROW:
            epoch = document.get("epoch") if document and document["key"] == _EPOCH_ROW else None
            if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < there["epoch"]:
                raise InvalidInput("the epoch only rises: its row in meta can neither go nor fall", "leave it there")

    def _current(self, table: str, number: int) -> Document | None:
        """The document as the draft has it, not to be changed."""
        work = self._work.get(table, {})
        return work[number] if number in work else self._original(table, number)

    def _original(self, table: str, number: int) -> Document | None:
        """The document as it was before the transaction, not to be changed."""
        if (table, number) not in self._before:
            self._before[table, number] = self._state.table(table).shared(number)
        return self._before[table, number]


def given_epoch(record: Record) -> int | None:
    """The fencing token that a transaction gave, if it gave one."""
    for change in record["changes"]:
        for edit in change["edits"] if (change["table"], change.get("key")) == ("meta", _EPOCH_ROW) else ():
            if "to" in edit and edit["path"] in ([], ["epoch"]):
                return int(edit["to"]["epoch"] if edit["path"] == [] else edit["to"])
    return None


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
