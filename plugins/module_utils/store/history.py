# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was changed, by whom, when and why: the journal, read as a story."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from .files import said_of
from .journal import Journal, Line, first_line, packed, read_segment
from .loading import JOURNAL
from .state import Record


def transactions(place: Path, since: str, *, reached: int, tell: Callable[[str], None]) -> Iterator[Record]:
    """All transactions on record in the store at ``place``, oldest first; with ``since`` (ISO 8601), not those before.

    ``tell`` hears which are missing between them, or before serial ``reached``: damage is passed over. It is not
    missed if the oldest files were moved away.
    """
    with said_of(place / JOURNAL, "read"):
        segments = list(Journal(place / JOURNAL).segments().items())
        begin = 0
        for index, (_after, path) in enumerate(segments):
            first = first_line(path) if since else None
            if first and first["at"] <= since:
                begin = index
        told = segments[begin][0] if segments else 0
        for _after, path in segments[begin:]:
            for line in _lines(path):
                record = line.document
                if "serial" in record:
                    _tell_of_gap(told, record.get("after", record["serial"] - 1), tell)
                    told = record["serial"]
                    if record["at"] >= since:
                        yield record
        _tell_of_gap(told, reached, tell)


def _lines(path: Path) -> list[Line]:
    try:
        return read_segment(path)[0]
    except FileNotFoundError:  # it was packed meanwhile
        return read_segment(packed(path))[0]


def _tell_of_gap(told: int, follows: int, tell: Callable[[str], None]) -> None:
    if follows > told:
        which = f"serial {told + 1} to {follows}" if follows > told + 1 else f"serial {follows}"
        tell(f"the history lacks {which}: `muster state verify` says what is damaged")
