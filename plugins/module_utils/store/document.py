# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the state is made of: tables of documents, as JSON."""

from __future__ import annotations

import json
from typing import Any

from ..model import StoreError

Document = dict[str, Any]

SCHEMA = 2
"""The version of the state's layout that this code writes; a newer one is refused, never guessed at."""

KEYS = {"nodes": "name", "jobs": "id", "leases": "id", "meta": "key"}
"""Muster's own tables, and the field of a document that names it in its table. Any other table is the user's."""

_TEXT = frozenset({str})
SCALARS = frozenset({str, int, float, bool, type(None)})
"""JSON's types whose values cannot be changed."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


class TooDeep(StoreError, ValueError):
    """It need not be damaged: whoever has a shorter stack can read it."""


def dumped(value: Any) -> bytes:
    """``value`` as JSON on one line. ASCII: stock TinyDB opens files in the encoding of the locale, and the tail of a
    log may hold any byte."""
    return _encode(value).encode("ascii")


def loaded(text: bytes) -> Any:
    """What :func:`dumped` wrote; raises ValueError if it is not JSON, or too deep for the stack as it is."""
    try:
        return json.loads(text.decode("utf-8"))
    except RecursionError as error:
        raise TooDeep("a document is nested too deeply to be read here", "nothing was changed") from error


def own(value: Any) -> Any:
    """A copy that shares nothing with ``value``, of JSON's types only; raises TypeError where there is another.

    A fifth of the time of ``copy.deepcopy``, which looks for more.
    """
    if type(value) in SCALARS:
        return value
    if isinstance(value, dict):
        return {
            key if type(key) in _TEXT else _name(key): item if type(item) in SCALARS else own(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [item if type(item) in SCALARS else own(item) for item in value]
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    raise TypeError(f"a document cannot hold {value!r}: it is no JSON")


def _name(key: Any) -> str:
    """The key as JSON has it: a string."""
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, (bool, int, float)):
        return _encode(key)
    raise TypeError(f"a document cannot have the key {key!r}: it is no JSON")
