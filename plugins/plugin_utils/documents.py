# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the documents of a view: one by its name, those that match, a field of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from ..module_utils.cluster import View
from ..module_utils.model import InvalidInput, Job, Lease, Node, NotFound, nearest

Document = dict[str, Any]

MODELS: Mapping[str, type[BaseModel]] = {"nodes": Node, "jobs": Job, "leases": Lease}


def documents_of(view: View, table: str, name: str | None = None) -> list[Document]:
    """The documents of ``nodes``, ``jobs`` or ``leases``; :class:`InvalidInput` for any other name.

    With ``name``, only the one with this id or name, of several jobs of one name the latest: no other is read.
    """
    if table not in MODELS:
        raise InvalidInput(f"there is no table {table!r}", _did_you_mean(table, MODELS))
    if name is None:
        found: list[Document] = getattr(view, table)
        return found
    if table == "leases":
        return [lease for lease in view.leases if lease["id"] == name]
    try:
        one = view.node(name) if table == "nodes" else view.job(name)
    except NotFound:
        return []
    return [] if one is None else [one]


def matching(documents: Sequence[Document], where: Mapping[str, Any]) -> list[Document]:
    """The documents whose fields (dotted paths) all have the wanted value, or one of several wanted values.

    A field that is a list matches by any of its items. Numbers may be given as text.
    """
    return [row for row in documents if all(_matches(value_at(row, path), want) for path, want in where.items())]


def value_at(found: Any, path: str) -> Any:
    """What the dotted ``path`` leads to, through mappings by key and lists by index; None where it leads nowhere."""
    if isinstance(found, Mapping):
        if path in found:  # labels may have dots in their names
            return found[path]
        head, dot, rest = path.partition(".")
        return value_at(found.get(head), rest) if dot else None
    if isinstance(found, list):
        head, dot, rest = path.partition(".")
        item = found[int(head)] if head.isdecimal() and int(head) < len(found) else None
        return value_at(item, rest) if dot else item
    return None


def check_field(table: str, documents: Sequence[Document], path: str) -> None:
    """Raise :class:`InvalidInput` if no document of ``table`` can ever have this field.

    What people name themselves (labels, environment variables) is never wrong. An empty table has no fields to compare.
    """
    known: list[str] = list(documents[0]) if documents else []
    model: type[BaseModel] | None = MODELS[table]
    so_far: list[str] = []
    for part in path.split("."):
        if known and part not in known and not part.isdecimal():
            where = f"field {'.'.join(so_far)} of {table}" if so_far else table
            raise InvalidInput(f"{where} has no field {part!r}", _did_you_mean(part, known))
        so_far.append(part)
        if not part.isdecimal():
            model = _model_of(model, part)
        known = [*model.model_fields, *model.model_computed_fields] if model else []


def _model_of(model: type[BaseModel] | None, field: str) -> type[BaseModel] | None:
    """The model of a field that holds one, or a list of them."""
    info = model.model_fields.get(field) if model else None
    kinds = (info.annotation, *get_args(info.annotation)) if info else ()
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _matches(found: Any, wanted: Any) -> bool:
    any_of = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    candidates = found if isinstance(found, list) else [found]
    return found == wanted or any(_same(one, want) for one in candidates for want in any_of)


def _same(found: Any, wanted: Any) -> bool:
    if found is None or wanted is None or isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return bool(found == wanted) or str(found) == str(wanted)


def _did_you_mean(word: str, known: Any) -> str:
    meant = nearest(word, known)
    return f"did you mean {meant}?" if meant else f"known are {', '.join(known)}"
