# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file that holds the whole state: TinyDB's layout, a document a line, with an index and checksums at its end.

A snapshot is written once and never changed. Its last line says where each table and its index lie and what their
checksums are, so that one document can be read, and trusted, without reading the rest.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from ..model import Damaged, StoreError
from .document import KEYS, SCHEMA, Document, dumped, loaded
from .files import Read
from .frames import framed, unframed
from .rows import Table
from .state import State

INDEX, MARK = "_index", "_muster"
"""The tables in which TinyDB sees the index and the last line."""

OWN_TABLES = frozenset({INDEX, MARK})

_LAST_LINE = f'\n"{MARK}": {{"1": '.encode()
_NEAR_THE_END = 1 << 16
_BLOCK = 1 << 20
_LOOKED_UP_SINGLY = 4
"""How many documents are looked for in the index as text, before it is parsed."""


class SnapshotRows:
    """A table of a snapshot. Whatever it gives has the right checksum, or it raises :class:`Damaged`."""

    def __init__(self, read: Read, table: str, place: Mapping[str, Any], where: str) -> None:
        self._key = KEYS.get(table)
        self.count: int = place["count"]
        self.last: int = place["last"]
        self._read = read
        self._place = place
        self._where = where
        self._index_text: bytes | None = None
        self._index: dict[int, list[Any]] | None = None
        self._numbers: dict[str, int] = {}
        self._looked_up = 0
        self._all: dict[int, bytes] | None = None

    def find(self, key: str) -> int | None:
        """As in :class:`Rows`."""
        if self._index is None and self._looked_up < _LOOKED_UP_SINGLY:
            self._looked_up += 1
            line = self._line(b":[%s," % dumped(key))
            return None if line is None else line[0]
        self._parsed_index()
        return self._numbers.get(key)

    def get(self, number: int) -> bytes | None:
        """As in :class:`Rows`."""
        if self._all is not None:
            return self._all.get(number)
        entry = self._entry(number)
        if entry is None:
            return None
        _key, offset, length, _rev, crc = entry
        raw = self._read(offset, length)
        if zlib.crc32(raw) != crc:
            raise _damaged(self._where, f"the checksum of document {number} is wrong")
        return raw

    def rev(self, number: int) -> int:
        """As in :class:`Rows`."""
        entry = self._entry(number)
        return entry[3] if entry else 0

    def all(self) -> Mapping[int, bytes]:
        """As in :class:`Rows`."""
        if self._all is None:
            text = self._checked("rows")
            found = {}
            for line in text.split(b",\n") if text else ():
                colon = line.index(b":")
                found[int(line[1 : colon - 1])] = line[colon + 1 :]
            if len(found) != self.count:
                raise _damaged(self._where, f"it has {len(found)} of {self.count} documents of a table")
            self._all = found
        return self._all

    def check(self) -> None:
        """Read all of it and compare the index with the documents."""
        rows, index = self.all(), self._parsed_index()
        if rows.keys() != index.keys() or any(
            self._read(offset, length) != rows[number] or dumped(name) != _name_of(rows[number], self._key)
            for number, (name, offset, length, _rev, _crc) in index.items()
        ):
            raise _damaged(self._where, "its index does not match its documents")

    def _entry(self, number: int) -> list[Any] | None:
        if self._index is None and self._looked_up < _LOOKED_UP_SINGLY:
            self._looked_up += 1
            line = self._line(b'\n"%d":[' % number)
            return None if line is None else line[1]
        return self._parsed_index().get(number)

    def _line(self, needle: bytes) -> tuple[int, list[Any]] | None:
        """The first line of the index with ``needle`` in it. No quote and no line end can be inside a JSON string."""
        text = self._text()
        found = text.find(needle)
        if found < 0:
            return None
        begin = text.rfind(b"\n", 0, found + 1) + 1
        number, _colon, entry = text[begin : text.index(b"\n", begin)].rstrip(b",").partition(b":")
        return int(number[1:-1]), json.loads(entry)

    def _parsed_index(self) -> dict[int, list[Any]]:
        if self._index is None:
            entries = json.loads(b"{%s}" % self._text())
            index = {int(number): entry for number, entry in entries.items()}
            self._numbers = {entry[0]: number for number, entry in index.items() if entry[0] is not None}
            self._index = index  # the last: another thread looks at it first
        return self._index

    def _text(self) -> bytes:
        """The index: a line a document, with a line end before the first and after the last."""
        if self._index_text is None:
            self._index_text = b"\n%s\n" % self._checked("index")
        return self._index_text

    def _checked(self, part: str) -> bytes:
        offset, length, crc = self._place[part]
        text = self._read(offset, length)
        if zlib.crc32(text) != crc:
            raise _damaged(self._where, f"the checksum of its {part} is wrong")
        return text


class Snapshot:
    """A snapshot that is open: its state, and the tables that it reads."""

    def __init__(self, read: Read, where: str) -> None:
        self._read = read
        self._where = where
        self.meta, self._end = _last_line(read, where)
        if self.meta["schema"] > SCHEMA:
            raise newer_schema(where, self.meta["schema"])

    def state(self) -> State:
        """The state that it holds; of its documents nothing is read yet."""
        meta = self.meta
        state = State(
            meta["lineage"],
            serial=meta["serial"],
            chain=int(meta["chain"], 16),
            schema=meta["schema"],
            changed=meta["changed"],
        )
        for name, place in meta["tables"].items():
            state.tables[name] = Table(name, SnapshotRows(self._read, name, place, self._where))
        return state

    def check(self) -> None:
        """Read all of it; raises :class:`Damaged` if any of it is not as it was written."""
        crc = 0
        for offset in range(0, self._end, _BLOCK):
            crc = zlib.crc32(self._read(offset, min(_BLOCK, self._end - offset)), crc)
        if crc != self.meta["whole"]:
            raise _damaged(self._where, "its checksum is wrong")

    def check_index(self) -> None:
        """Raises :class:`Damaged` if it was written wrongly."""
        for name, place in self.meta["tables"].items():
            SnapshotRows(self._read, name, place, self._where).check()


def write_snapshot(file: BinaryIO, state: State) -> None:
    """Write ``state`` whole; flushing it to disk is the caller's."""
    out = _Out(file)
    out.write(b"{")
    places: dict[str, dict[str, Any]] = {}
    indices: dict[str, list[bytes]] = {}
    for name in sorted({*state.tables, *KEYS}):
        out.write(b"\n%s: {\n" % dumped(name))
        rows, indices[name] = _rows(state.table(name), out.position)
        places[name] = {"count": len(rows), "last": state.table(name).last, "rows": out.place(rows)}
        out.write(b"\n},")
    out.write(b'\n"%s": {"1": {' % INDEX.encode())
    for turn, (name, index) in enumerate(indices.items()):
        out.write(b"%s\n%s: {\n" % (b"," if turn else b"", dumped(name)))
        places[name]["index"] = out.place(index)
        out.write(b"\n}")
    out.write(b"}},")
    meta = {
        "schema": SCHEMA,
        "lineage": state.lineage,
        "serial": state.serial,
        "chain": f"{state.chain:08x}",
        "changed": state.changed,
        "whole": out.crc,
        "tables": places,
    }
    out.write(b"%s%s}}\n" % (_LAST_LINE, framed(meta)[0]))


def newer_schema(where: str, schema: int) -> StoreError:
    """The refusal of a state that a later Muster has written."""
    return StoreError(
        f"{where} has schema {schema}, and this Muster knows schemas up to {SCHEMA}",
        "upgrade muster.training on this machine; nothing was changed",
    )


class _Out:
    """A file with its length and checksum so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0
        self.crc = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.position += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def place(self, lines: list[bytes]) -> list[int]:
        """Write these lines; where they lie: offset, length, checksum."""
        data = b",\n".join(lines)
        offset = self.position
        self.write(data)
        return [offset, len(data), zlib.crc32(data)]


def _rows(table: Table, position: int) -> tuple[list[bytes], list[bytes]]:
    """The lines of a table that begins at ``position``, and those of its index."""
    rows, index = [], []
    for number, document, rev in table.lines():
        raw = document if isinstance(document, bytes) else dumped(document)
        head = b'"%d":' % number
        offset = position + len(head)
        rows.append(head + raw)
        index.append(
            b'"%d":[%s,%d,%d,%d,%d]' % (number, _name_of(raw, table.key), offset, len(raw), rev, zlib.crc32(raw))
        )
        position = offset + len(raw) + 2
    return rows, index


def _name_of(raw: bytes, key: str | None) -> bytes:
    """The document's name as JSON. Its first field, as a rule: then the rest need not be parsed."""
    if key is None:
        return b"null"
    head = b'{%s:"' % dumped(key)
    if raw.startswith(head):
        end = raw.find(b'"', len(head))
        name = raw[len(head) - 1 : end + 1]
        if b"\\" not in name:
            return name
    return dumped(loaded(raw)[key])


def _last_line(read: Read, where: str) -> tuple[Document, int]:
    """What the last line says, and where it begins."""
    for begin in (max(0, read.size - _NEAR_THE_END), 0):
        text = read(begin, read.size - begin)
        found = text.rfind(_LAST_LINE)
        if found >= 0 or begin == 0:
            break
    line = text[found + len(_LAST_LINE) :]
    framed_part = unframed(line[:-3]) if found >= 0 and line.endswith(b"}}\n") else None
    if framed_part is None:
        raise _damaged(where, "its last line is not whole")
    return framed_part[0], begin + found


def _damaged(where: str, why: str) -> Damaged:
    return Damaged(f"{where} is damaged: {why}", "see what is left of the state: muster state verify")
