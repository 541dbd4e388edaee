# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactions since a snapshot: one line each, appended and flushed to disk before it is acknowledged.

A journal is a row of segments, each named after the serial of the snapshot that it follows. Its first line says whose
it is and takes up the chain of checksums from the segment before.
"""

from __future__ import annotations

import contextlib
import enum
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..model import Damaged, StoreError, iso, utc_now
from .document import SCHEMA, Document, loaded
from .files import (
    Names,
    OpenFile,
    Read,
    identity,
    make_directory,
    opened,
    packing,
    replace_durably,
    said_of,
    sync_directory,
)
from .frames import all_whole, framed, unframed
from .rows import Change
from .state import Record, State

PLAIN, PACKED = ".jsonl", ".jsonl.gz"
ROOM_BYTES = 1 << 16
"""A segment is made longer by so much at once, with NULs: to flush what is written into them is a fifth faster than to
flush what makes a file longer, as the file system has nothing to note of its own."""
_A_FEW = 1 << 10
"""How many bytes others have written since, as a rule."""


def packed(path: Path) -> Path:
    """What a plain segment is called when it is packed."""
    return path.with_name(path.name + ".gz")


def new_record(serial: int, said: Mapping[str, str], changes: list[Change]) -> Record:
    """A transaction as the journal gets it. ``said``: who made it, why, and through what."""
    return {"serial": serial, "at": iso(utc_now()), **said, "changes": changes}


class End(enum.Enum):
    """How a segment ends."""

    WHOLE = "after a whole transaction"
    TORN = "inside a transaction that was never acknowledged"
    DAMAGED = "before a transaction that is not as it was written"


class Standing(enum.Enum):
    """What has become of a segment since it was read."""

    SAME = "nothing"
    GROWN = "it may have more transactions"
    REPLACED = "another file, or none, has its name, or what was read last is not there any more"
    """As when a transaction failed after all, and was taken back."""


@dataclass(frozen=True)
class Line:
    """A whole line, where it ends, and the checksum of all lines up to it."""

    document: Document
    stop: int
    chain: int


def read_lines(text: bytes, chain: int) -> tuple[list[Line], End]:
    """The lines of ``text`` up to the first that is not whole, and what comes then.

    Every line is on disk before the next one begins, so at most one can be torn, and it is the last: without a line
    end, or with bytes that never reached the disk (which are NUL, as those that nothing was written to). All else is
    damage.
    """
    text = _used(text)
    found: list[Line] = []
    begin = 0
    while (stop := text.find(b"\n", begin)) >= 0:
        line = unframed(text[begin:stop], chain)
        if line is None:
            rest = text[begin:]
            torn = b"\0" in rest and not any(b'"serial":' in later for later in rest.split(b"\n")[1:])
            return found, End.TORN if torn else End.DAMAGED
        document, chain = line
        begin = stop + 1
        found.append(Line(document, begin, chain))
    return found, End.WHOLE if begin == len(text) else End.TORN


def _used(text: bytes) -> bytes:
    """What is before the NULs that ``text`` may end with."""
    nul = text.find(b"\0")
    return text[:nul] if nul >= 0 and text[nul:] == bytes(len(text) - nul) else text


def first_line(path: Path) -> Document | None:
    """The first line of a segment, if it is whole: what its checksum begins with stands in it."""
    try:
        text = opened(path)
        line = text(0, text.size).partition(b"\n")[0]
        chain = int(loaded(line)["chain"], 16)
    except (ValueError, LookupError, TypeError, Damaged):
        return None
    found = unframed(line, chain)
    return found[0] if found else None


def read_segment(path: Path) -> tuple[list[Line], End]:
    """All lines of a segment, its header first, and what comes after them; none where the header is not whole."""
    first = first_line(path)
    if first is None:
        return [], End.DAMAGED
    text = opened(path)
    return read_lines(text(0, text.size), int(first["chain"], 16))


class Journal:
    """The directory of the segments."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def segment(self, state: State) -> Segment:
        """The segment that follows ``state``, also where there is none yet."""
        path = self._plain(state.serial)
        if not path.exists() and self._packed(state.serial).exists():
            path = self._packed(state.serial)
        return Segment(path, state.lineage, state.serial, state.chain)

    def has(self, serial: int) -> bool:
        """Whether there is a segment that follows this serial."""
        return self._plain(serial).exists() or self._packed(serial).exists()

    def holding(self, serial: int) -> Segment | None:
        """The segment with the transaction after ``serial``, which need not begin there."""
        earlier = [(after, path) for after, path in self.segments().items() if after <= serial]
        if not earlier:
            return None
        after, path = earlier[-1]
        first = first_line(path)
        if first is None:
            return None
        return Segment(path, str(first["lineage"]), after, int(first["chain"], 16))

    def segments(self) -> dict[int, Path]:
        """All segments in order, by the serial that they follow."""
        found: dict[int, Path] = {}
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.path), key=len, reverse=True):  # a plain one rather than its packed copy
                if name.endswith((PLAIN, PACKED)) and name.split(".")[0].isdecimal():
                    found[int(name.split(".")[0])] = self.path / name
        return dict(sorted(found.items()))

    def retire(self, needed: int) -> None:
        """Pack the segments that end before the serial ``needed``: they are history, and not read at start any more."""
        segments = self.segments()
        for (_after, path), follower in zip(segments.items(), list(segments)[1:], strict=False):
            if follower > needed or path.name.endswith(PACKED):
                continue

            def pack(file: BinaryIO, path: Path = path) -> None:
                with open(path, "rb") as plain, packing(file) as target:
                    shutil.copyfileobj(plain, target)

            replace_durably(packed(path), pack)
            sync_directory(self.path)
            path.unlink()

    def _plain(self, serial: int) -> Path:
        return self.path / f"{serial:020d}{PLAIN}"

    def _packed(self, serial: int) -> Path:
        return self.path / f"{serial:020d}{PACKED}"


class Segment:
    """The transactions after one snapshot. The file is made with the first of them."""

    def __init__(self, path: Path, lineage: str, after: int, chain: int) -> None:
        self.path = path
        self.lineage = lineage
        self.after = after
        self.length = 0
        """How many bytes of it were read and are whole lines."""
        self.chain = chain
        self._header = {"journal": SCHEMA, "lineage": lineage, "after": after, "chain": f"{chain:08x}"}
        self._file: Read | None = None
        self._out: OpenFile | None = None
        self._names = Names(path.parent)
        self._room = 0
        """How long the file is, at the least, once it is open to be written."""

    @property
    def packed(self) -> bool:
        """Whether it can only be read."""
        return self.path.name.endswith(PACKED)

    def follow(self, state: State) -> End:
        """Apply to ``state`` what was written since the last call, and say what comes then.

        Transactions that ``state`` has already are passed over.
        """
        try:
            self._file = self._file or opened(self.path)
        except FileNotFoundError:
            return End.WHOLE
        except Damaged:
            return End.DAMAGED
        begin = self.length
        text = self._written_after(begin)
        if text is None:
            return End.DAMAGED
        if begin == 0 and self._postponed(state, text):
            return End.WHOLE
        lines, end = read_lines(text, self.chain)
        for line in lines:
            if self.length == 0:
                if not self._begins_with(line.document):
                    return End.DAMAGED
            elif line.document["serial"] == state.serial and line.chain != state.chain:
                return End.DAMAGED  # the transaction of this number is another one
            elif line.document["serial"] == state.serial + 1 or line.document.get("after") == state.serial:
                state.apply(line.document, line.chain)
            elif line.document["serial"] > state.serial:
                return End.DAMAGED
            self.length, self.chain = begin + line.stop, line.chain
        return end

    def leads_through(self, state: State) -> bool:
        """Whether this segment has gone through ``state``: it is not that of another cluster, or of another past."""
        if state.lineage != self.lineage:
            return False
        if state.serial == self.after:
            return state.chain == self.chain
        lines = read_segment(self.path)[0]
        return any(line.document.get("serial") == state.serial and line.chain == state.chain for line in lines)

    def standing(self) -> Standing:
        """What has become of it since it was read or written last."""
        held = self._out or self._file
        if isinstance(held, OpenFile) and not self._names.same() and identity(self.path) != held.identity:
            return Standing.REPLACED
        if held is None and identity(self.path) is None:
            return Standing.SAME
        if self._file is None:
            return Standing.GROWN
        end = b'%08x"}\n' % self.chain if self.length else b""
        found = self._file(self.length - len(end), len(end) + 1)
        if not found.startswith(end):
            return Standing.REPLACED
        return Standing.SAME if found[len(end) :] in (b"", b"\0") else Standing.GROWN

    def append(self, record: Record) -> int:
        """Write one transaction and flush it to disk; the new end of the chain. If it fails, nothing was written."""
        with said_of(self.path, "written"):
            if self.length == 0:
                make_directory(self.path.parent)
            if self._out is None:
                self._out = OpenFile(self.path, os.O_WRONLY | os.O_CREAT)
                self._room = self._out.size
            text, chain = self._framed(record)
            try:
                self._write(self._out.handle, text)
            except OSError as error:
                self._take_back(self._out.handle, error)
                raise
        self.length, self.chain = self.length + len(text), chain
        return chain

    def cut(self) -> None:
        """Remove what follows the whole lines: a transaction that was never acknowledged."""
        with said_of(self.path, "repaired"):
            handle = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.ftruncate(handle, self.length)
                os.fsync(handle)
                self._room = self.length
            finally:
                os.close(handle)

    def mend(self, record: Record) -> None:
        """Put a file in place that has the whole lines and then ``record``."""
        make_directory(self.path.parent)
        begin = self._file(0, self.length) if self._file and self.length else b""
        text, chain = self._framed(record)
        plain = self.path.with_name(self.path.name.removesuffix(".gz"))
        replace_durably(plain, lambda file: file.write(begin + text))
        sync_directory(self.path.parent)
        self.length, self.chain = self.length + len(text), chain

    def rest(self) -> bytes:
        """What follows the whole lines."""
        return self._file(self.length, self._file.size - self.length) if self._file else b""

    def _written_after(self, begin: int) -> bytes | None:
        """What stands after the first ``begin`` bytes; None if there are fewer.

        The first time all of it is looked at: after a power failure something may stand behind bytes that never
        reached the disk.
        """
        file = self._file
        if file is None or (size := file.size) < begin:
            return None
        if begin and len(found := _used(file(begin, _A_FEW))) < _A_FEW:
            return found
        room = max(begin, size - ROOM_BYTES)
        stop = room + len(_used(file(room, ROOM_BYTES)))
        return _used(file(begin, size - begin)) if stop == room else file(begin, stop - begin)

    def _begins_with(self, document: Document) -> bool:
        return all(document.get(word) == value for word, value in self._header.items())

    def _postponed(self, state: State, text: bytes) -> bool:
        """Give ``state`` all transactions of ``text`` unparsed, if they are whole and one follows the other: as ever,
        but for a restore or a loss between them."""
        found = all_whole(text, self.chain)
        if found is None or found[0] < 2 or state.serial != self.after:
            return False
        count, chain = found
        begin, end = text.find(b"\n") + 1, text.rfind(b"\n", 0, -1) + 1
        try:
            header, last = loaded(text[:begin]), loaded(text[end:])
        except ValueError:
            return False
        steady = last["serial"] == state.serial + count - 1 and text.find(b'"after":', begin) < 0
        if not steady or not self._begins_with(header):
            return False
        state.postpone(text, last, chain)
        self.length, self.chain = len(text), chain
        return True

    def _framed(self, record: Record) -> tuple[bytes, int]:
        text, chain = b"", self.chain
        for document in ([] if self.length else [{**self._header, "at": iso(utc_now())}]) + [record]:
            line, chain = framed(document, chain)
            text += line + b"\n"
        return text, chain

    def _write(self, handle: int, text: bytes) -> None:
        if self.length == 0:
            os.fchmod(handle, 0o600)
        stop = self.length + len(text)
        if stop > self._room:
            self._room = -(-stop // ROOM_BYTES) * ROOM_BYTES
            text += bytes(self._room - stop)
        written = 0
        while written < len(text):
            written += os.pwrite(handle, text[written:], self.length + written)
        os.fdatasync(handle)
        if self.length == 0:
            sync_directory(self.path.parent)

    def _take_back(self, handle: int, cause: OSError) -> None:
        """Nobody is told that the transaction is there, so it must not turn up later."""
        try:
            os.ftruncate(handle, self.length)
            os.fsync(handle)
            self._room = self.length
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written ({cause.strerror}) nor put back as it was ({error.strerror})",
                "whether the last change is there shows when the disk is well again",
            ) from cause
