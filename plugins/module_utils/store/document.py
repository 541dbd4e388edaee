# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the state's file holds: tables of documents, one a line, and how it is recognised (lineage, serial, schema)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from ..model import StoreError

SCHEMA = 1
"""The version of the state's layout that this code writes; a newer one is refused, never guessed at."""

KEYS = {"nodes": "name", "jobs": "id", "leases": "id", "meta": "key"}
"""The tables, and the field of a document that names it in its table."""

Document = dict[str, Any]
Raw = dict[str, dict[str, Document]]
"""As TinyDB lays it out: table name -> TinyDB's document id (a decimal string) -> document."""


def empty(lineage: str | None = None) -> Raw:
    """The state of a cluster that nobody has touched yet."""
    meta = {"key": "state", "schema": SCHEMA, "lineage": lineage or uuid.uuid4().hex, "serial": 0, "epoch": 0}
    return {"meta": {"1": meta}, **{table: {} for table in KEYS if table != "meta"}}


def decoded(text: bytes, where: str) -> Raw:
    """The state in ``text``; raises :class:`StoreError` if it is damaged or of a newer schema."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"it is not JSON: {error}") from error
    if not isinstance(raw, dict) or not all(isinstance(rows, dict) for rows in raw.values()):
        raise _damaged(where, "it is not a set of tables")
    meta = next(
        (row for row in raw.get("meta", {}).values() if isinstance(row, dict) and row.get("key") == "state"), {}
    )
    if not isinstance(meta.get("schema"), int):
        raise _damaged(where, "it does not say which schema it has")
    if meta["schema"] > SCHEMA:
        raise StoreError(
            f"{where} has schema {meta['schema']}, and this Muster knows schemas up to {SCHEMA}",
            "upgrade muster.training on this machine; nothing was changed",
        )
    if not isinstance(meta.get("lineage"), str) or not all(isinstance(meta.get(n), int) for n in ("serial", "epoch")):
        raise _damaged(where, "it does not say whose state it is and how far it got (lineage, serial, epoch)")
    for table, key in KEYS.items():
        _check(table, raw.setdefault(table, {}), key, where)
    return raw


def encoded(raw: Raw) -> bytes:
    """``raw`` as text that a person and stock TinyDB can read: one document a line.

    ASCII, since TinyDB opens files in the encoding of the locale, and the tail of a log may hold any byte.
    """
    return f"{{\n{_separated(_table(name, rows) for name, rows in raw.items())}\n}}\n".encode("ascii")


def _table(name: str, rows: dict[str, Document]) -> str:
    lines = _separated(f"  {json.dumps(number)}: {json.dumps(row)}" for number, row in rows.items())
    return f" {json.dumps(name)}: {{\n{lines}\n }}" if lines else f" {json.dumps(name)}: {{}}"


def _separated(lines: Iterable[str]) -> str:
    return ",\n".join(lines)


def _check(table: str, rows: dict[str, Document], key: str, where: str) -> None:
    seen: set[str] = set()
    for number, row in rows.items():
        if not number.isdecimal():
            raise _damaged(where, f"table {table} has a row {number}, and rows are numbered")
        if not isinstance(row, dict) or not isinstance(row.get(key), str):
            raise _damaged(where, f"row {number} of table {table} has no {key}")
        if row[key] in seen:
            raise _damaged(where, f"table {table} has {row[key]} twice")
        seen.add(row[key])


def _damaged(where: str, why: str) -> StoreError:
    return StoreError(
        f"{where} is damaged: {why}", "nothing was changed; put a backup in its place, or move it away to start anew"
    )
