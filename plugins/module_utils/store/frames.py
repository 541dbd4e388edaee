# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines with a checksum. In a journal it goes on from line to line, so that none can be left out."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

from ..model import StoreError
from .document import Document, TooDeep, dumped, loaded

_TAIL = b',"crc":"%08x"}'
_TAIL_LENGTH = 18
_BLOCK = 1 << 16
_A_TAIL = re.compile(rb',"crc":"([0-9a-f]{8})"\}\Z')


def framed(document: Mapping[str, Any], chain: int = 0) -> tuple[bytes, int]:
    """``document`` as a line (without its end), and its checksum: the CRC-32 of all lines so far."""
    body = dumped(document)[:-1]
    crc = zlib.crc32(body, chain)
    return body + _TAIL % crc, crc


def unframed(line: bytes, chain: int = 0) -> tuple[Document, int] | None:
    """The document of a line that :func:`framed` wrote after ``chain``, and its checksum; None if it is not whole."""
    tail = _A_TAIL.search(line, max(0, len(line) - _TAIL_LENGTH))
    if tail is None:
        return None
    body = line[: tail.start()]
    crc = zlib.crc32(body, chain)
    if crc != int(tail[1], 16):
        return None
    try:
        return loaded(body + b"}"), crc
    except TooDeep:
        raise
    except ValueError as error:  # written like this, as no checksum is right by chance: to be kept
        raise StoreError(f"a line with the right checksum cannot be read: {error}", "nothing was changed") from error


def all_whole(text: bytes, chain: int = 0) -> tuple[int, int] | None:
    """How many lines ``text`` has, and the checksum of them all; None if one is not whole. A tenth of the time of
    :func:`unframed` for each: what they say is not read, and a block at a time stays in the processor's cache."""
    count = begin = 0
    while begin < len(text):
        stop = text.rfind(b"\n", begin, begin + _BLOCK)
        stop = stop if stop >= 0 else text.find(b"\n", begin)
        if stop < 0:
            return None
        lines, chains = text[begin:stop].split(b"\n"), []
        for line in lines:
            chain = zlib.crc32(line[:-_TAIL_LENGTH], chain)
            chains.append(chain)
        if b"".join([line[-_TAIL_LENGTH:] for line in lines]) != (_TAIL * len(lines)) % tuple(chains):
            return None
        count += len(lines)
        begin = stop + 1
    return count, chain
