# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States that an earlier Muster wrote, brought forward: in memory when they are read, on disk with the next change."""

from __future__ import annotations

from typing import Any

from ..model import Damaged
from .document import KEYS, SCHEMA, Document, loaded
from .snapshot import newer_schema
from .state import State


def upgrade(state: State) -> State:
    """``state`` in today's schema."""
    for schema in range(state.schema, SCHEMA):
        _STEPS[schema](state)
    return state


def first_schema(text: bytes, where: str, damage: Damaged) -> State:
    """The state in a file of schema 1, which was one JSON text without checksums; raises ``damage`` if it is none."""
    try:
        raw = loaded(text)
        meta = next(row for row in raw["meta"].values() if row.get("key") == "state")
        schema = int(meta["schema"])
        if schema > SCHEMA:
            raise newer_schema(where, schema)
        _require(isinstance(meta["lineage"], str) and _is_number(meta["serial"]) and _is_number(meta["epoch"]))
        changed = meta.get("changed") or {}
        state = State(meta["lineage"], serial=meta["serial"], schema=schema, changed=changed)
        for table, rows in raw.items():
            _require(isinstance(rows, dict))
            for number, document in rows.items():
                _put(state, table, int(number), document)
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        raise damage from None
    return state


def _put(state: State, table: str, number: int, document: Document) -> None:
    key = document[KEYS[table]] if table in KEYS else None
    _require(isinstance(document, dict) and (table not in KEYS or isinstance(key, str)))
    if key is not None and state.table(table).find(key) is not None:
        raise ValueError(f"table {table} has {key} twice")
    change = {"table": table, "id": number, "edits": [{"path": [], "to": document}]}
    state.tables.setdefault(table, state.table(table)).apply(change, state.serial)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(shape: bool) -> None:
    if not shape:
        raise ValueError("it is not shaped like a state")


def _from_1(state: State) -> None:
    """Lineage, serial and schema went from a row of the table ``meta`` to the file itself; the epoch stayed."""
    table = state.table("meta")
    number = table.find("state")
    row: dict[str, Any] = (number and table.get(number)) or {}
    if number:
        edits = [
            {"path": [word], "from": row[word]} for word in ("schema", "lineage", "serial", "changed") if word in row
        ]
        table.apply({"table": "meta", "id": number, "edits": edits}, state.serial)


_STEPS = {1: _from_1}
