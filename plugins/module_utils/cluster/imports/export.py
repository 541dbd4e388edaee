# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Muster's state as plain JSON, out and in: ``{"schema", "lineage", "serial", "tables": {name: {number: document}}}``.

A backup is better where there is the choice: it has a checksum, and keeps the lineage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ...model import Job, Lease, Node, lease_id, parse, validated
from ...store import KEYS, SCHEMA, Tables
from .found import Imported, Item
from .origin import Origin
from .shapes import by_name

_NUMBER = re.compile(r"[1-9][0-9]{0,14}")

MODELS: dict[str, type[BaseModel]] = {"nodes": Node, "jobs": Job, "leases": Lease}


def exported(tables: Tables) -> dict[str, Any]:
    """All documents of all tables, by their numbers."""
    return {
        "schema": SCHEMA,
        "lineage": tables.lineage,
        "serial": tables.serial,
        "tables": {name: {str(number): document for number, document in tables.items(name)} for name in tables.names()},
    }


def export(data: Mapping[str, Any], origin: Origin) -> Imported:
    """The documents of an export, each as sound as the state must have it."""
    schema, lineage = data["schema"], data["lineage"]
    if not isinstance(schema, int) or schema < SCHEMA:
        raise origin.fault("schema", f"must be {SCHEMA}, not {schema!r:.60}")
    if schema > SCHEMA:
        error = origin.fault("schema", f"is {schema}, and this Muster knows schemas up to {SCHEMA}")
        error.hint = "upgrade muster.training on this machine; nothing was imported"
        raise error
    found = Imported(origin.name, whole=True)
    for table, rows in by_name(data["tables"], "tables", origin).items():
        for number, document in by_name(rows, f"tables.{table}", origin).items():
            place = f"tables.{table}.{number}"
            if not _NUMBER.fullmatch(number):
                raise origin.fault(place, "is no number of a document: they count from 1")
            found.items.append(Item(table, _sound(table, document, place, origin), number=int(number)))
    found.remarks.append(f"the state goes on under its own lineage and serial, not those of the export ({lineage})")
    return found


def _sound(table: str, document: dict[str, Any], place: str, origin: Origin) -> dict[str, Any]:
    """``document`` as the state can keep it, with the defaults of what it does not say."""
    if (key := KEYS.get(table)) and not isinstance(document.get(key), str):
        raise origin.fault(f"{place}.{key}", f"must be a string, not {document.get(key)!r:.60}")
    epoch = document.get("epoch", 0)
    if table == "meta" and (isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0):
        raise origin.fault(f"{place}.epoch", f"must be a whole number, not {epoch!r:.60}")
    for field, text in document.items() if table in KEYS else ():
        if (field.endswith("_at") or field in ("at", "until")) and isinstance(text, str):
            _refuse_bad_time(text, f"{place}.{field}", origin)
    if table not in MODELS:
        return document
    model = validated(MODELS[table], document, f"{origin.name}: {place}")
    if isinstance(model, Lease) and model.id != lease_id(model.job, model.attempt, model.node):
        raise origin.fault(f"{place}.id", f"must be {lease_id(model.job, model.attempt, model.node)}")
    whole = model.model_dump(mode="json") | document
    if isinstance(model, Job):
        whole["spec"] = {**whole["spec"], "env": model.spec.without_secrets().env}
    return whole


def _refuse_bad_time(text: str, place: str, origin: Origin) -> None:
    try:
        known = parse(text).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise origin.fault(place, f"must be a time in ISO 8601 with its zone, not {text!r:.60}")
