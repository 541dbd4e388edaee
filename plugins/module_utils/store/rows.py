# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One table at one point in time: its rows in a snapshot, and over them the documents that were changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from ..model import Damaged
from .document import KEYS, Document, loaded, own
from .edits import Edit, edited

Change = dict[str, Any]
"""What a transaction did to one document: ``table``, ``id`` (TinyDB's number), ``key`` (its name), ``edits``."""


class Rows(Protocol):
    """One table of a snapshot, which reads of its file what is asked for."""

    count: int
    last: int

    def find(self, key: str) -> int | None:
        """The number of the document of this name."""

    def get(self, number: int) -> bytes | None:
        """A document as JSON."""

    def rev(self, number: int) -> int:
        """The serial of the transaction that changed it last; 0 if there is no such document."""

    def all(self) -> Mapping[int, bytes]:
        """All documents, in the order in which they came."""


class Version:
    """A document that is newer than the snapshot. It is put together when it is first asked for."""

    __slots__ = ("_document", "_origin", "rev")

    def __init__(self, rev: int, before: Version | tuple[Rows, int] | None, edits: list[Edit]) -> None:
        self.rev = rev
        self._document: Document | None = None
        self._origin: tuple[Version | tuple[Rows, int] | None, list[Edit]] | None = (before, edits)
        """What it is made of, until it is made. Threads may make it at once: each reads both fields once, in order."""

    def document(self) -> Document:
        """The document itself, shared with other versions: not to be changed."""
        waiting: list[tuple[Version, list[Edit]]] = []
        found: Version | tuple[Rows, int] | None = self
        document: Any = None
        while isinstance(found, Version):
            origin, document = found._origin, found._document
            if origin is None:
                break
            waiting.append((found, origin[1]))
            found = origin[0]
        if found is not None and not isinstance(found, Version):
            document = loaded(found[0].get(found[1]) or b"null")
        for version, edits in reversed(waiting):
            document = _edited(document, edits)
            version._document = document
            version._origin = None
        if document is None:
            raise Damaged("the journal changes a document that is not there", "muster state verify says more")
        result: Document = document
        return result


class Table:
    """One table at one point in time."""

    def __init__(self, name: str, rows: Rows | None) -> None:
        self.key = KEYS.get(name)
        self.rows = rows
        self.count = rows.count if rows else 0
        self.last = rows.last if rows else 0
        """The highest number that was given to a document; a table that became empty starts anew, as TinyDB's do."""
        self._changed: dict[int, Version | None] = {}
        self._names: dict[str, int | None] = {}

    def copy(self) -> Table:
        """A table that may be changed while this one stays as it is."""
        copy = Table.__new__(Table)
        copy.__dict__.update(self.__dict__)
        copy._changed, copy._names = dict(self._changed), dict(self._names)
        return copy

    def find(self, key: str) -> int | None:
        """The number of the document of this name."""
        if key in self._names:
            return self._names[key]
        return self.rows.find(key) if self.rows else None

    def rev(self, number: int) -> int:
        """The serial of the transaction that changed this document last; 0 if there is none."""
        if number in self._changed:
            version = self._changed[number]
            return version.rev if version else 0
        return self.rows.rev(number) if self.rows else 0

    def get(self, number: int) -> Document | None:
        """A copy of the document with this number."""
        if number in self._changed:
            version = self._changed[number]
            return own(version.document()) if version else None
        raw = self.rows.get(number) if self.rows else None
        return None if raw is None else loaded(raw)

    def items(self, needle: bytes = b"") -> Iterator[tuple[int, Document]]:
        """Numbers and copies of all documents, in the order in which they came.

        Those whose JSON lacks ``needle`` may be left out: parsing is what a search costs.
        """
        rows = self.rows.all() if self.rows else {}
        for number, raw in rows.items():
            if number in self._changed:
                version = self._changed[number]
                if version:
                    yield number, own(version.document())
            elif needle in raw:
                yield number, loaded(raw)
        for number, version in list(self._changed.items()):
            if version and number not in rows:
                yield number, own(version.document())

    def lines(self) -> Iterator[tuple[int, bytes | Document, int]]:
        """Number, document (as JSON where it is still as in the snapshot) and rev of all documents."""
        rows = self.rows.all() if self.rows else {}
        for number, raw in rows.items():
            if number not in self._changed:
                yield number, raw, self.rows.rev(number) if self.rows else 0
            elif version := self._changed[number]:
                yield number, version.document(), version.rev
        for number, version in self._changed.items():
            if version and number not in rows:
                yield number, version.document(), version.rev

    def apply(self, change: Change, rev: int) -> None:
        """Follow one change of a transaction."""
        number, edits = change["id"], change["edits"]
        made, gone = _is_made(edits), _is_gone(edits)
        before = self._changed.get(number)
        source = before or ((self.rows, number) if self.rows and number not in self._changed and not made else None)
        self._changed[number] = None if gone else Version(rev, source, edits)
        self.count += made - gone
        self.last = 0 if self.count == 0 else max(self.last, number)
        for edit in edits:
            if self.key and edit["path"] in ([], [self.key]):
                self._rename(number, edit)

    def _rename(self, number: int, edit: Edit) -> None:
        for side, found in (("from", None), ("to", number)):
            if side in edit:
                name = edit[side][self.key] if edit["path"] == [] else edit[side]
                # In one transaction a name may go from one document to another, in whatever order they stand there.
                if found is not None or self.find(name) == number:
                    self._names[name] = found


def _edited(document: Any, edits: list[Edit]) -> Any:
    try:
        return edited(document, edits)
    except (LookupError, TypeError, AttributeError) as error:
        raise Damaged(
            "the journal does not fit the snapshot that it follows", "muster state verify says more"
        ) from error


def _is_made(edits: list[Edit]) -> bool:
    return edits[0]["path"] == [] and "to" in edits[0]


def _is_gone(edits: list[Edit]) -> bool:
    return edits[-1]["path"] == [] and "to" not in edits[-1]
