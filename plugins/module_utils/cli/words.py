# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times, sizes and lists of nodes in the words of people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from ..model import length, natural, parse

Numbered = tuple[str, int, str]
"""A name taken apart: what comes before its last number, the number, what comes after."""


def age(moment: str | None, now: datetime) -> str:
    """How long ago ``moment`` (ISO 8601) was: ``5 min ago``, or ``never`` for None."""
    if moment is None:
        return "never"
    seconds = (now - parse(moment)).total_seconds()
    for limit, unit, word in ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // unit)} {word} ago" if seconds >= 1 else "just now"
    return f"{int(seconds // 86400)} days ago"


def took(start: str | None, end: str | None, now: datetime) -> str:
    """How long from ``start`` to ``end``, or until now if there is none: ``1 h 02 min``. Empty before the start."""
    if start is None:
        return ""
    return length(((parse(end) if end else now) - parse(start)).total_seconds())


def memory(mib: int) -> str:
    """MiB as people say it: ``80 GiB``."""
    return f"{mib / 1024:.0f} GiB" if mib >= 1024 else f"{mib} MiB"


def size(count: int) -> str:
    """Bytes as people say it: ``2.1 MB``."""
    for limit, unit in ((1e3, "bytes"), (1e6, "kB"), (1e9, "MB")):
        if count < limit:
            return f"{count} bytes" if unit == "bytes" else f"{count / limit * 1e3:.1f} {unit}"
    return f"{count / 1e9:.1f} GB"


def spans(numbers: Iterable[int]) -> str:
    """Whole numbers with runs drawn together: ``0-3, 6``."""
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in _runs(numbers))


def folded(names: Iterable[str]) -> str:
    """Node names with runs drawn together, as ClusterShell and Slurm write them: ``gpu[1-16,18], login``."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    alone: list[str] = []
    for name in names:
        found = re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", name)
        if found is None:
            alone.append(name)
            continue
        before, digits, after = found.groups()
        width = len(digits) if digits.startswith("0") else 0
        groups.setdefault((before, after, width), []).append(int(digits))
    words = [_folded(before, numbers, after, width) for (before, after, width), numbers in groups.items()]
    return ", ".join(sorted([*words, *alone], key=natural))


def _folded(before: str, numbers: list[int], after: str, width: int) -> str:
    runs = [
        f"{first:0{width}d}-{last:0{width}d}" if last > first else f"{first:0{width}d}"
        for first, last in _runs(numbers)
    ]
    inner = ",".join(runs)
    return f"{before}{inner}{after}" if len(numbers) == 1 else f"{before}[{inner}]{after}"


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
