# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pydantic's findings as one sentence: what, where, and the nearest thing that would have been right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import InvalidInput, StoreError
from .names import nearest

_SHAPES = {"dict_type": "a mapping", "list_type": "a list", "model_type": "a mapping"}

M = TypeVar("M", bound=BaseModel)

_WORDS = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be a string",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


def validated(model: type[M], data: object, where: str) -> M:
    """``data`` as a ``model``; raises :class:`InvalidInput` whose sentence starts at ``where`` (say ``muster_job``)."""
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must be a mapping, not {_kind(data)}")
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidInput("; ".join(dict.fromkeys(_sentence(model, e, where) for e in error.errors()))) from error


def restored(model: type[M], row: Mapping[str, Any], what: str) -> M:
    """A row of the state as a ``model``; raises :class:`StoreError` if it is damaged. ``what``: say ``node n1``."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        found = _sentence(model, error.errors()[0], what)
        raise StoreError(f"the state is damaged: {found}", "nothing was changed; put a backup in its place") from error


def _sentence(model: type[BaseModel], error: Any, where: str) -> str:
    """One finding of pydantic (an ``ErrorDetails``) in our words."""
    path = [str(part) for part in error["loc"]]
    place = ".".join([where, *path])
    kind = error["type"]
    if kind == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        meant = nearest(path[-1], known)
        return f"{place} is unknown: " + (
            f"did you mean {meant}?" if meant else f"known are {', '.join(sorted(known))}"
        )
    if kind == "missing":
        return f"{place} is missing"
    if kind == "value_error":
        return f"{place}{':' if path else ''} {error['ctx']['error']}"
    if kind in _SHAPES:  # what was given instead may hold secrets, and is not repeated
        return f"{place} must be {_SHAPES[kind]}, not {_kind(error['input'])}"
    limits = {"greater_than_equal": ("least", "ge"), "less_than_equal": ("most", "le")}
    if kind in limits:
        word, key = limits[kind]
        return f"{place}: must be at {word} {error['ctx'][key]}, not {repr(error['input'])[:60]}"
    rule = _WORDS.get(kind, str(error["msg"]))
    return f"{place}: {rule}, not {repr(error['input'])[:60]}"


def _kind(value: object) -> str:
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (str, "a string"),
        ((list, tuple), "a list"),
        (Mapping, "a mapping"),
        (type(None), "empty"),
        (bool, "true or false"),
        ((int, float), "a number"),
    ]
    return next((word for kind, word in kinds if isinstance(value, kind)), type(value).__name__)


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """The field names of the model that ``path`` leads to from ``model``."""
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(model.model_fields)
