# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was changed, by whom, when and why: the journal, read as a story."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .files import said_of
from .journal import Journal, first_line, read_segment
from .loading import JOURNAL
from .state import Record


def transactions(place: Path, since: str = "") -> Iterator[Record]:
    """All transactions on record in the store at ``place``, oldest first; with ``since`` (ISO 8601), not those before.

    What is damaged is passed over: ``verify`` tells of it.
    """
    with said_of(place / JOURNAL, "read"):
        paths = list(Journal(place / JOURNAL).segments().values())
        begin = 0
        for index, path in enumerate(paths):
            first = first_line(path)
            if since and first and first["at"] <= since:
                begin = index
        for path in paths[begin:]:
            with contextlib.suppress(FileNotFoundError):
                for line in read_segment(path)[0]:
                    if "serial" in line.document and line.document["at"] >= since:
                        yield line.document
