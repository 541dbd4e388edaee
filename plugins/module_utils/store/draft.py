# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes that a transaction is about to make to the state's tables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from ..model import Conflict, InvalidInput, StoreError
from .document import KEYS, Document
from .edits import Edit
from .parts import Kept, apart, edits_between, field, successor, together
from .rows import Change
from .snapshot import OWN_TABLES
from .state import Record, State
from .tables import EPOCH_ROW, Tables

EPOCH_LEAP = 1000
"""How far the epoch leaps when transactions were lost or undone, any of which may have given one."""


class Draft(Tables):
    """Tables that a transaction may change. It knows what changed, so that an empty change costs nothing."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._process = os.getpid()
        self._work: dict[str, dict[int, Kept]] = {}
        self._before: dict[tuple[str, int], Kept] = {}
        self._edits: dict[tuple[str, int], list[Edit] | None] = {}
        """What leads from a document as it was to what was put in its place; None where it was put there in steps."""
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
        return self.write(table, self.next_number(table) if number is None else number, document)

    def remove(self, table: str, keys: Iterable[str]) -> int:
        """Remove these documents; how many there were."""
        numbers = {self.number(table, key) for key in keys} - {None}
        for number in numbers:
            self.write(table, number, None)  # type: ignore[arg-type]
        return len(numbers)

    def next_epoch(self, leap: int = 1) -> int:
        """The next fencing token: it only ever rises, whatever becomes of the job."""
        epoch = self.epoch + leap
        self.put("meta", {"key": EPOCH_ROW, "epoch": epoch})
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
                self.write(table, number, document)

    def names(self) -> list[str]:
        """As in :class:`Tables`."""
        return sorted({*super().names(), *(name for name in self._work if self.count(name))})

    def next_number(self, table: str) -> int:
        """A number for a new document, which is given only once."""
        self._last[table] = max(self._last.get(table, 0), self._state.table(table).last) + 1
        return self._last[table]

    def write(self, table: str, number: int, document: Document | None) -> bool:
        """Put ``document`` at this number, or nothing; whether that changed anything. Muster's tables name each once.

        Raises TypeError for a document that holds what is no JSON.
        """
        if table in OWN_TABLES:
            raise InvalidInput(f"table {table} belongs to the store", "choose another name")
        before = self._current(table, number)
        after, edits = (None, edits_between(before, None)) if document is None else successor(before, document)
        if not edits:
            return False
        if table == "meta":
            _refuse_older_epoch(before, after)
        if key := KEYS.get(table):
            self._rename(table, key, number, before, after)
        work = self._work.setdefault(table, {})
        self._edits[table, number] = None if number in work else edits
        work[number] = after
        self._last[table] = max(self._last.get(table, 0), number)
        return True

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
            for number, after in documents.items():
                before = self._original(table, number)
                edits = self._edits[table, number]
                if edits is None:
                    edits = edits_between(before, after)
                if edits:
                    name = {"key": field(after or before, key)} if key else {}
                    found.append({"table": table, "id": number, **name, "edits": edits})
        return found

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
        names = self._names.get(table)
        return names[key] if names and key in names else super().number(table, key)

    def document(self, table: str, number: int) -> Document | None:
        """As in :class:`Tables`."""
        if number in self._work.get(table, {}) or (table, number) in self._before:
            there = self._current(table, number)
            return None if there is None else together(there)
        return self._read(table, number)

    def items(self, table: str, needle: bytes = b"") -> Iterator[tuple[int, Document]]:
        """As in :class:`Tables`."""
        work = dict(self._work.get(table, {}))
        for number, document in super().items(table, b"" if work else needle):
            if number not in work:
                yield number, document
            elif (changed := work.pop(number)) is not None:
                yield number, together(changed)
        for number, added in work.items():
            if added is not None:
                yield number, together(added)

    def _rename(self, table: str, key: str, number: int, before: Kept, after: Kept) -> None:
        """Let the name of what comes lead to this number, and that of what it replaces nowhere."""
        old, new = field(before, key), field(after, key)
        if after is not None and not isinstance(new, str):
            raise InvalidInput(f"a document of the table {table} must have a {key} that is a string")
        if old == new:
            return
        if new is not None and self.number(table, new) is not None:
            raise InvalidInput(f"the table {table} has {new} already")
        names = self._names.setdefault(table, {})
        if old is not None:
            names[old] = None
        if new is not None:
            names[new] = number

    def _current(self, table: str, number: int) -> Kept:
        """The document as the draft has it."""
        work = self._work.get(table, {})
        return work[number] if number in work else self._original(table, number)

    def _original(self, table: str, number: int) -> Kept:
        """The document as it was before the transaction."""
        if (table, number) not in self._before:
            self._read(table, number)
        return self._before[table, number]

    def _read(self, table: str, number: int) -> Document | None:
        """The document as it was, which is the caller's to change: what is kept of it is a copy."""
        document = super().document(table, number)
        self._before[table, number] = None if document is None else apart(document)
        return document


def _refuse_older_epoch(before: Kept, after: Kept) -> None:
    """Nodes refuse whoever comes with an older one, so a token must not be given again."""
    if field(before, "key") == EPOCH_ROW:
        there, epoch = field(before, "epoch"), field(after, "epoch") if field(after, "key") == EPOCH_ROW else None
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < there:
            raise InvalidInput("the epoch only rises: its row in meta can neither go nor fall", "leave it there")


def given_epoch(record: Record) -> int | None:
    """The fencing token that a transaction gave, if it gave one."""
    for change in record["changes"]:
        for edit in change["edits"] if (change["table"], change.get("key")) == ("meta", EPOCH_ROW) else ():
            if "to" in edit and edit["path"] in ([], ["epoch"]):
                return int(edit["to"]["epoch"] if edit["path"] == [] else edit["to"])
    return None
