# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines with a checksum. In a journal it goes on from line to line, so that none can be left out."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

from .document import Document, dumped, loaded

_TAIL = re.compile(rb',"crc":"([0-9a-f]{8})"\}\Z')
_TAIL_LENGTH = 18


def framed(document: Mapping[str, Any], chain: int = 0) -> tuple[bytes, int]:
    """``document`` as a line (without its end), and its checksum: the CRC-32 of all lines so far."""
    body = dumped(document)[:-1]
    crc = zlib.crc32(body, chain)
    return body + b',"crc":"%08x"}' % crc, crc


def unframed(line: bytes, chain: int = 0) -> tuple[Document, int] | None:
    """The document of a line that :func:`framed` wrote after ``chain``, and its checksum; None if it is not whole."""
    tail = _TAIL.search(line, max(0, len(line) - _TAIL_LENGTH))
    if tail is None:
        return None
    body = line[: tail.start()]
    crc = zlib.crc32(body, chain)
    if crc != int(tail[1], 16):
        return None
    try:
        return loaded(body + b"}"), crc
    except ValueError:  # written like this: no checksum would be right by chance
        return None
