# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a file to what it holds: JSON, of the kind that it is said to be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ...model import InvalidInput, MusterError, nearest
from .ai_how import ai_how
from .experiments import experiments
from .export import export
from .found import Imported
from .origin import Origin, zone_named
from .secrets import without_secrets
from .ugro import ugro

DEEPEST = 64
"""How many levels a file may have; a state has five or six."""


@dataclass(frozen=True)
class Kind:
    """One kind of file. ``marks``: what it has at its root, by which it is told from others."""

    title: str
    marks: tuple[str, ...]
    read: Callable[[dict[str, Any], Origin], Imported]
    foreign: bool = True


KINDS = {
    "ugro": Kind("a cluster_state.json of UGRO", ("nodes", "jobs"), ugro),
    "ai-how": Kind("a state.json of AI-HOW", ("cluster_name", "cluster_type"), ai_how),
    "experiments": Kind("a manager_state.json of the experiment manager", ("tasks",), experiments),
    "muster": Kind("an export of Muster", ("schema", "lineage", "serial", "tables"), export, foreign=False),
}


def read(kind: str, source: Path | str, *, timezone: str | None, who: str, now: datetime) -> Imported:
    """What is in ``source`` (a file's path, or its text), as one of :data:`KINDS`; raises :class:`InvalidInput`.

    ``timezone``: of times that name none; this machine's own if it is None. ``who`` imports it, at ``now``.
    """
    if kind not in KINDS:
        meant = nearest(kind, KINDS)
        hint = f"did you mean {meant}?" if meant else f"known are {', '.join(KINDS)}"
        raise InvalidInput(f"{kind!r} is no kind of state that can be imported", hint)
    origin = Origin(source.name if isinstance(source, Path) else "the text", now, who, zone_named(timezone))
    data = _parsed(_text(source), origin.name)
    _refuse_others(kind, data, origin.name)
    hidden: list[str] = []
    if KINDS[kind].foreign:
        data = without_secrets(data, hidden)
    try:
        found = KINDS[kind].read(data, origin)
    except MusterError as error:
        raise InvalidInput(
            error.message, error.hint or "correct it in a copy of the file; nothing was imported"
        ) from None
    found.remark(hidden, "what looks like a secret is not kept, only its name: {}")
    return found


def _text(source: Path | str) -> str:
    if isinstance(source, str):
        return source
    try:
        return source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{source} cannot be read: {error.strerror}", "give the path of the state file") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{source} is no text, so it is no JSON", "give the state file itself, unpacked") from None


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
        _refuse_depth(data, DEEPEST)
    except json.JSONDecodeError as error:
        why = f"{error.msg}, line {error.lineno} column {error.colno}" if text.strip() else "it is empty"
        raise InvalidInput(f"{name} is no JSON: {why}", "give the file as it was written, or its backup") from None
    except ValueError as error:
        raise InvalidInput(f"{name} is no JSON: {error}", "correct it in a copy of the file") from None
    except RecursionError:
        raise InvalidInput(
            f"{name} is nested too deeply for a state", "give the state file as it was written"
        ) from None
    if not isinstance(data, dict):
        raise InvalidInput(f"{name} must be a mapping, not {data!r:.60}", "give the state file as it was written")
    return data


def _refuse_others(kind: str, data: Mapping[str, Any], name: str) -> None:
    if {"nodes", "jobs", "leases", "meta"} <= data.keys():
        raise InvalidInput(f"{name} is a state of Muster itself", "muster state restore brings it back")
    missing = [mark for mark in KINDS[kind].marks if mark not in data]
    if missing:
        other = next((key for key, other in KINDS.items() if all(mark in data for mark in other.marks)), None)
        hint = f"it looks like {KINDS[other].title}: kind {other}" if other else "give the file as it was written"
        raise InvalidInput(f"{name} is not {KINDS[kind].title}: {missing[0]} is missing", hint)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it says {twice!r} twice in one object, and only one of them could be kept")
    return found


def _constant(word: str) -> None:
    raise ValueError(f"{word} is no number that JSON has")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text:.60} is too large")
    return value


def _refuse_depth(value: Any, levels: int) -> None:
    if isinstance(value, (dict, list)):
        if levels == 0:
            raise RecursionError
        for item in value.values() if isinstance(value, dict) else value:
            _refuse_depth(item, levels - 1)
