# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs that take no more room on disk than they may: their start and their end stay, the middle is given back.

A rank writes to its log itself, so nothing can be moved in it: what is given back becomes a hole (fallocate(2)), and
all that is left, and all that comes, keeps its place.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

GRAIN = 64 * 1024
"""Holes begin and end at multiples of it, since file systems give back whole blocks only."""
KEEP_SIZE, PUNCH_HOLE = 0x01, 0x02


def trim(path: str, limit: int) -> None:
    """Give back the middle of a file that takes more than `limit` bytes on disk: a sixteenth of that stays of its
    start, and half of its end.

    Raises OSError where the file system cannot do that.
    """
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        facts = os.fstat(handle)
        start = limit // 16 // GRAIN * GRAIN
        end = (facts.st_size - limit // 2) // GRAIN * GRAIN
        if facts.st_blocks * 512 > limit and end > start:
            _punch(handle, start, end - start)
    finally:
        os.close(handle)


def pieces(handle: int, place: int = 0) -> Iterator[tuple[int, int]]:
    """Give where what is there of an open file begins and ends, from `place` on."""
    size = os.fstat(handle).st_size
    while place < size:
        start = next_piece(handle, place, size)
        if start == size:
            return
        place = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, place


def next_piece(handle: int, place: int, size: int) -> int:
    """Return where, from `place` on, something of an open file of this size is there: `size` if nothing is."""
    try:
        return min(os.lseek(handle, place, os.SEEK_DATA), size)
    except OSError:
        return size


def _punch(handle: int, start: int, length: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    arguments = handle, KEEP_SIZE | PUNCH_HOLE, ctypes.c_longlong(start), ctypes.c_longlong(length)
    if libc.fallocate64(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
