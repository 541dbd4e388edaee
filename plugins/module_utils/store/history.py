# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was changed, by whom, when and why: the journal, read as a story."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from .files import said_of
from .journal import Journal, first_line, packed, read_segment
from .loading import JOURNAL
from .state import Record

Result = TypeVar("Result")


def transactions(place: Path, since: str, *, reached: int, tell: Callable[[str], None]) -> Iterator[Record]:
    """All transactions on record in the store at ``place``, oldest first; with ``since`` (ISO 8601), not those before.

    ``tell`` hears which are missing between them, or before serial ``reached``: damage is passed over. It is not
    missed if the oldest files were moved away.
    """
    with said_of(place / JOURNAL, "read"):
        segments = list(Journal(place / JOURNAL).segments().items())
        begin = _begin(segments, since) if since else 0
        told = segments[begin][0] if segments else 0
        for _after, path in segments[begin:]:
            for line in _if_there(read_segment, path)[0]:
                record = line.document
                if "serial" in record:
                    _tell_of_gap(told, record.get("after", record["serial"] - 1), tell)
                    told = record["serial"]
                    if record["at"] >= since:
                        yield record
        _tell_of_gap(told, reached, tell)


def _begin(segments: list[tuple[int, Path]], since: str) -> int:
    """Which segment is the first with anything of that time."""
    begins = [first["at"] if (first := _if_there(first_line, path)) else "" for _after, path in segments]
    told = [at for at in begins if at]
    if told != sorted(told):  # the clock was put back: what is of that time can be anywhere
        return 0
    return max((index for index, at in enumerate(begins) if at and at <= since), default=0)


def _if_there(read: Callable[[Path], Result], path: Path) -> Result:
    """Also if it was packed meanwhile."""
    try:
        return read(path)
    except FileNotFoundError:
        return read(packed(path))


def _tell_of_gap(told: int, follows: int, tell: Callable[[str], None]) -> None:
    if follows > told:
        which = f"serial {told + 1} to {follows}" if follows > told + 1 else f"serial {follows}"
        tell(f"the history lacks {which}: `muster state verify` says what is damaged")
