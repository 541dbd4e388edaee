# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the state's file holds, and how it is recognised: lineage, serial, schema, and one document a line of a table."""

from __future__ import annotations

import json
import uuid
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
    except ValueError as error:
        raise _damaged(where, f"it is not JSON: {error}") from error
    if not isinstance(raw, dict) or not all(isinstance(rows, dict) for rows in raw.values()):
        raise _damaged(where, "it is not a set of tables")
    meta = next((row for row in raw.get("meta", {}).values() if isinstance(row, dict)), None)
    if meta is None or not isinstance(meta.get("schema"), int):
        raise _damaged(where, "it does not say which schema it has")
    if meta["schema"] > SCHEMA:
        raise StoreError(
            f"{where} has schema {meta['schema']}, and this Muster knows schemas up to {SCHEMA}",
            "upgrade muster.training on this machine; nothing was changed",
        )
    for table, key in KEYS.items():
        if any(not isinstance(row, dict) or key not in row for row in raw.setdefault(table, {}).values()):
            raise _damaged(where, f"table {table} has a row without {key!r}")
    return raw


def encoded(raw: Raw) -> bytes:
    """``raw`` as text that a person and stock TinyDB can read."""
    return (json.dumps(raw, indent=1, ensure_ascii=False, sort_keys=False) + "\n").encode()


def _damaged(where: str, why: str) -> StoreError:
    return StoreError(
        f"{where} is damaged: {why}", "nothing was changed; put a backup in its place, or move it away to start anew"
    )
