# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state at one serial: its tables, and the transactions since the snapshot that nobody has asked for yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .document import Document, dumped, loaded
from .rows import Table

Record = dict[str, Any]
"""A transaction as the journal has it: ``serial``, ``at``, ``who``, ``why``, ``changes``."""

_LOOKED_UP_SINGLY = 4
"""How many documents are looked for in what waits, before all of it is parsed."""


class State:
    """Everything at one serial. What hands it out copies it before it changes it (:meth:`copy`)."""

    def __init__(
        self, lineage: str, *, serial: int = 0, chain: int = 0, schema: int, changed: Mapping[str, str] | None = None
    ) -> None:
        self.lineage = lineage
        self.serial = serial
        self.chain = chain
        """The checksum of the journal up to here."""
        self.schema = schema
        self.changed = dict(changed or {})
        """Who made the last transaction, why, and when (``who``, ``why``, ``at``)."""
        self._content: tuple[dict[str, Table], bytes] = {}, b""
        """The tables, and a segment of the journal that they do not show yet. Replaced as one: threads read it."""
        self._looked_up = 0

    @property
    def tables(self) -> dict[str, Table]:
        """All tables, with every transaction applied."""
        tables, waiting = self._content
        if waiting:
            tables = {name: table.copy() for name, table in tables.items()}
            for record in _parsed(waiting.split(b"\n")[1:-1]):
                _apply(tables, record)
            self._content = tables, b""
        return tables

    def copy(self) -> State:
        """A state that may be changed while this one stays as it is."""
        copy = State.__new__(State)
        copy.__dict__.update(self.__dict__)
        tables, waiting = self._content
        copy._content = {name: table.copy() for name, table in tables.items()}, waiting
        return copy

    def table(self, name: str) -> Table:
        """The table of this name; an empty one if there is none."""
        return self.tables.get(name) or Table(name, None)

    def named(self, name: str, key: str) -> tuple[int, Document] | None:
        """Number and a copy of the document called ``key`` in the table ``name``. Of the transactions that wait, those
        that changed it are parsed, and no other."""
        tables, waiting = self._content
        table = tables.get(name) or Table(name, None)
        self._looked_up += 1
        many = self._looked_up > _LOOKED_UP_SINGLY
        if waiting and (many or b'"path":[%s]' % dumped(table.key) in waiting):  # or a name went elsewhere
            table = self.table(name)
        elif waiting:
            table = table.copy()
            for record in _parsed(_lines_with(b'"key":%s,"edits":' % dumped(key), waiting)):
                for change in record["changes"]:
                    if (change["table"], change.get("key")) == (name, key):
                        table.apply(change, record["serial"])
        number = table.find(key)
        document = None if number is None else table.get(number)
        return None if number is None or document is None else (number, document)

    def apply(self, record: Record, chain: int) -> None:
        """Follow one transaction."""
        _apply(self.tables, record)
        self._reach(record, chain)

    def postpone(self, text: bytes, last: Record, chain: int) -> None:
        """Follow the transactions in ``text``, a segment, when they are asked for; ``last`` is the last of them."""
        self._content = self.tables, text
        self._reach(last, chain)

    def _reach(self, record: Record, chain: int) -> None:
        self.serial, self.chain = record["serial"], chain
        self.lineage = record.get("lineage", self.lineage)
        self.changed = {word: record[word] for word in ("who", "why", "at")}


def _apply(tables: dict[str, Table], record: Record) -> None:
    for change in record["changes"]:
        name = change["table"]
        if name not in tables:
            tables[name] = Table(name, None)
        tables[name].apply(change, record["serial"])


def _parsed(lines: Iterable[bytes]) -> list[Record]:
    """Lines of the journal that have the right checksum; all at once, which is twice as fast."""
    records: list[Record] = loaded(b"[%s]" % b",".join(lines))
    return records


def _lines_with(needle: bytes, text: bytes) -> Iterator[bytes]:
    found = text.find(needle)
    while found >= 0:
        stop = text.index(b"\n", found)
        yield text[text.rfind(b"\n", 0, found) + 1 : stop]
        found = text.find(needle, stop)
