# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fields of a foreign file may be. Unlike a person's input they are never converted: a text is no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from ...model import validated
from .origin import Origin

M = TypeVar("M", bound=BaseModel)


class Shape(BaseModel):
    """The fields that are known of an object. There may be others."""

    model_config = ConfigDict(extra="ignore", strict=True)


def one_of(*words: str) -> PlainValidator:
    """The field is one of ``words``."""

    def check(value: object) -> object:
        if value not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}, not {value!r:.60}")
        return value

    return PlainValidator(check)


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"must be a number, not {value!r:.60}")
    return value


Number = Annotated[float, PlainValidator(_number)]
"""Whole or not, and left as it is."""


def _count_of(value: object) -> object:
    counted = len(value) if isinstance(value, (list, dict)) else value
    if isinstance(counted, bool) or not isinstance(counted, int) or counted < 0:
        raise ValueError(f"must be a whole number or a list, not {value!r:.60}")
    return counted


CountOf = Annotated[int, PlainValidator(_count_of)]
"""How many there are: the number, or the things themselves."""

Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


def shaped(shape: type[M], value: object, place: str, origin: Origin) -> M:
    """``value``, which is at ``place`` in the file, as a ``shape``."""
    return validated(shape, value, f"{origin.name}: {place}" if place else origin.name)


def by_name(value: object, place: str, origin: Origin) -> dict[str, dict[str, Any]]:
    """What is at ``place``: objects by name; none where there is nothing."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise origin.fault(place, f"must be a mapping, not {value!r:.60}")
    for name, item in value.items():
        if not name:
            raise origin.fault(place, "has something without a name")
        if not isinstance(item, Mapping):
            raise origin.fault(f"{place}.{name}", f"must be a mapping, not {item!r:.60}")
    return dict(value)
