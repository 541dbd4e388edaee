# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document as a transaction keeps it: each field by itself, so that nobody can change it from outside.

Two such are compared without a walk through them, and whoever puts one together again gets a copy.
"""

from __future__ import annotations

import marshal
from typing import Any, Optional

from .document import SCALARS, Document, TooDeep, own
from .edits import NO_REFERENCES, Edit, difference, unlike

Parts = dict[str, Any]
"""Field -> its value, a dict or list as bytes in a version of marshal's format that depends on the value alone."""
Kept = Optional[Parts]  # noqa: UP045  # also read by Python 3.9
"""The same, or None where there is no document."""

_NAMES = frozenset({str})
"""The type of a field's name."""
_MISSING = object()


def apart(document: Document) -> Parts:
    """The parts of a document that holds nothing but JSON's types."""
    try:
        return _parts(document)
    except ValueError as error:
        raise TooDeep("a document is nested too deeply to be changed here", "nothing was changed") from error


def successor(before: Kept, document: Document) -> tuple[Parts, list[Edit]]:
    """The parts of somebody's document, and what leads to them from ``before``; raises TypeError where it holds what
    is no JSON.

    To look at all of it (:func:`own`) takes longer than all else. So that is done only for the fields that are not, to
    the byte, as ``before``, which is known to be JSON: the same bytes are the same value, to the last type.
    """
    if before is not None and isinstance(document, dict) and _NAMES.issuperset(map(type, document)):
        try:
            after = _parts(document)
            names = _changed(before, after)
            after.update(_parts(own({name: document[name] for name in names})))
            return after, _edits_in(before, after, names)
        except ValueError:
            pass  # marshal knows Python's own types only; Ansible's strings, say, go the longer way
    after = apart(own(document))
    return after, edits_between(before, after)


def together(parts: Parts) -> Document:
    """A document that shares nothing with any other."""
    return {name: marshal.loads(part) if isinstance(part, bytes) else part for name, part in parts.items()}


def edits_between(before: Kept, after: Kept) -> list[Edit]:
    """What leads from one to the other."""
    if before is None or after is None:
        return difference(None if before is None else together(before), None if after is None else together(after))
    return _edits_in(before, after, _changed(before, after))


def field(parts: Kept, name: str) -> Any:
    """One field of a document; None where there is no such field, or no document."""
    part = parts.get(name) if parts else None
    return marshal.loads(part) if isinstance(part, bytes) else part


def _parts(document: Document) -> Parts:
    return {
        name: value if type(value) in SCALARS else marshal.dumps(value, NO_REFERENCES)
        for name, value in document.items()
    }


def _changed(before: Parts, after: Parts) -> list[str]:
    """The fields of ``after`` that are not the same, to the type, ``before``."""
    return [
        name
        for name, part in after.items()
        if (was := before.get(name, _MISSING)) is not part and (type(was) is not type(part) or was != part)
    ]


def _edits_in(before: Parts, after: Parts, names: list[str]) -> list[Edit]:
    """The edits, where ``names`` are the fields of ``after`` to look at."""
    edits: list[Edit] = [{"path": [name], "from": field(before, name)} for name in before if name not in after]
    for name in names:
        if name in before:
            unlike(field(before, name), field(after, name), (name,), edits)
        else:
            edits.append({"path": [name], "to": field(after, name)})
    return edits
