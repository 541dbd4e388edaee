# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that are safe in file names, unit names and on a command line, and what the user may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LONGEST_HOST = 253
"""The longest name that the DNS knows (RFC 1035)."""
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


def job_name_fault(name: str) -> str | None:
    """What is wrong with a job's name, or None."""
    if not _JOB_NAME.fullmatch(name) or ".." in name:
        return (
            f"{name!r} is no job name: use 1 to 63 letters, digits, '.', '_' or '-', no '..', a letter or digit first"
        )
    return None


def node_name_fault(name: str) -> str | None:
    """What is wrong with a node's name, or None. An inventory may call hosts whatever it likes, in one visible word."""
    if not 0 < len(name) <= _LONGEST_HOST or not name.isprintable() or set(name) & set(" /") or not name.strip("."):
        return f"{name[:40]!r} is no node name: use 1 to {_LONGEST_HOST} printable letters without spaces and '/'"
    return None


def label_key_fault(key: str) -> str | None:
    """What is wrong with a label's key, or None."""
    return None if _LABEL_KEY.fullmatch(key) else f"{key!r} is no label name: use letters, digits, '.', '_', '/' or '-'"


def label_text(key: str, value: object) -> str:
    """A label's value as text: labels are compared as what was written, and YAML reads 2 and true as other types."""
    if isinstance(value, (dict, list, tuple)):
        raise ValueError(f"{key} must be one value, not a {type(value).__name__}")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def counted(number: int, thing: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like ``word``, if any is like it."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by which gpu2 comes before gpu10."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part), "") if index % 2 else (1, 0, part) for index, part in enumerate(parts) if part)
