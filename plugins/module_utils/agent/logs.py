# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what ranks wrote: the last lines, everything, or as it comes. Never more of a file in memory than is
needed."""

from __future__ import annotations

import json
import os
import select
import stat

from . import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

    Document = dict[str, Any]

TAIL_LINES = 20
LONGEST_TAIL = 64 * 1024
LONGEST_ERROR = 16 * 1024
LONGEST_LINE = 1024 * 1024
"""What is longer is given in parts: a program may never end its line."""
FOLLOW_PAUSE_S = 0.2
GONE = "[muster: {:.1f} MiB of this log are gone, as it grew beyond its bounds]\n"


def tail(path: str, lines: int) -> list[str]:
    """Return the last lines, of at most the last 64 KiB: enough to see what went wrong.

    What is not UTF-8 is replaced, and of a line that was drawn over itself (progress bars) only the last drawing is
    kept.
    """
    return [line.rstrip("\r").rpartition("\r")[2] for line in _last(path, lines, LONGEST_TAIL)]


def read(path: str, lines: int | None) -> list[str]:
    """Return the last `lines` lines as they are, or all of them for None."""
    return _last(path, lines, None)


def error_text(path: str, owner: int) -> str | None:
    """Return the message in a TORCHELASTIC_ERROR_FILE, or its text if it has another form; None if nothing was written.

    The user of the job owns the directory, so what lies there is read only if it is a plain file of that user: it
    could be a link to something that only root may read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != owner:
            return None
        text = file.read(LONGEST_ERROR).decode(errors="replace")
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return text or None
    return str(message["message"] if isinstance(message, dict) and "message" in message else message)


def follow(
    files: dict[str, str], lines: int | None, ended: Callable[[], bool], write: Callable[[bytes], None], output: int
) -> None:
    """Write the last lines of each file (prefix -> path), then whole lines as they come, until `ended`.

    Stops as well when whoever reads `output` has gone. A prefix is put before each line.
    """
    places = {prefix: _start_of_last(path, lines) for prefix, path in files.items()}
    poll = select.poll()
    poll.register(output, 0)  # asks for nothing; an error or a hang-up is told anyway
    while True:
        last = ended()  # asked first: what was written before the end is then read below
        for prefix, path in files.items():
            for text, place in _whole_lines(path, places[prefix], last):
                write(prefix.encode() + text)
                places[prefix] = place
        if last or poll.poll(FOLLOW_PAUSE_S * 1000):
            return


def _whole_lines(path: str, place: int, unfinished_too: bool) -> Iterator[tuple[bytes, int]]:
    """Give the lines from `place` on, each with the place behind it. What a log has lost to its bounds is said."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        size, rest = os.fstat(handle).st_size, b""
        while place < size:
            there = bounded.next_piece(handle, place, size)
            if there > place:  # the middle has been given back, perhaps a moment ago
                if rest:
                    yield rest + b"\n", place
                    rest = b""
                there += _rest_of_line(handle, there)
                yield GONE.format((there - place) / 2**20).encode(), there
                place = there
                continue
            part = os.pread(handle, bounded.GRAIN - place % bounded.GRAIN, place)
            if not part:
                break
            if b"\0" in part and bounded.next_piece(handle, place, size) > place:
                continue  # it was given back while it was read
            begin = place - len(rest)
            place += len(part)
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                begin += len(line) + 1
                yield line + b"\n", begin
            if len(rest) > LONGEST_LINE:
                yield rest + b"\n", place
                rest = b""
        if rest and unfinished_too:
            yield rest + b"\n", place
    finally:
        os.close(handle)


def _rest_of_line(handle: int, place: int) -> int:
    """Return how long the rest of the line is of which a hole has taken the beginning."""
    part = os.pread(handle, LONGEST_TAIL, place)
    return part.find(b"\n") + 1 or len(part)


def _start_of_last(path: str, lines: int | None) -> int:
    """Return the offset at which the last `lines` lines begin."""
    if lines is None:
        return 0
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            if lines == 0:
                return end
            wanted = lines + 1  # newlines, counted from the end: the last one closes the last line
            for place, block in _backwards(file):
                if place + len(block) == end and not block.endswith(b"\n"):
                    wanted -= 1
                found = block.count(b"\n")
                if found >= wanted:
                    for _newline in range(wanted - 1):
                        block = block[: block.rindex(b"\n")]
                    return place + block.rindex(b"\n") + 1
                wanted -= found
    except OSError:
        return 0
    return 0


def _backwards(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give what is there of a file in blocks, the last one first, each with its place."""
    for start, place in reversed(list(bounded.pieces(file.fileno()))):
        while place > start:
            step = min(65536, place - start)
            place -= step
            file.seek(place)
            yield place, file.read(step)


def _last(path: str, lines: int | None, longest: int | None) -> list[str]:
    start = _start_of_last(path, lines)
    if longest is not None:
        try:
            start = max(start, os.path.getsize(path) - longest)
        except OSError:
            return []
    return [text[:-1].decode(errors="replace") for text, _place in _whole_lines(path, start, True)]
