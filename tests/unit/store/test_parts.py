# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents as a transaction keeps them: compared field by field, to the type, and shared with nobody."""

from __future__ import annotations

import collections
import enum
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from muster.store.edits import difference, edited
from muster.store.parts import apart, edits_between, successor, together

from tests.unit.store.documents import documents, exactly


class Text(str):
    """As Ansible's, which know where they come from."""

    __slots__ = ()


class Number(enum.IntEnum):
    TWO = 2


@given(documents, documents)
def test_the_edits_lead_from_one_document_to_the_other_and_are_none_where_they_are_the_same(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    edits = edits_between(apart(before), apart(after))
    assert exactly(edited(before, edits)) == exactly(after)
    assert bool(edits) == (exactly(before) != exactly(after))
    assert successor(apart(before), after) == (apart(after), edits)
    assert exactly(together(apart(before))) == exactly(before)


def test_a_document_that_comes_or_goes_is_the_edit() -> None:
    assert edits_between(None, apart({"a": [1]})) == [{"path": [], "to": {"a": [1]}}]
    assert edits_between(apart({"a": [1]}), None) == [{"path": [], "from": {"a": [1]}}]
    assert edits_between(None, None) == edits_between({}, {}) == []
    assert successor(None, {}) == ({}, [{"path": [], "to": {}}])


def test_whoever_has_a_document_cannot_change_what_is_kept() -> None:
    document = {"a": {"b": [1]}, "c": 1}
    parts, edits = successor(apart({"a": {"b": []}}), document)
    copy = together(parts)
    document["a"]["b"].append(2)  # type: ignore[index]
    copy["a"]["b"].append(3)
    edits[0]["to"].append(4)
    assert together(parts) == {"a": {"b": [1]}, "c": 1}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({"a": {"b": (1, (2,))}}, {"a": {"b": [1, [2]]}}),
        ({Text("a"): Text("b")}, {"a": "b"}),
        ({"a": [{Text("b"): Text("c")}]}, {"a": [{"b": "c"}]}),
        ({"a": Number.TWO}, {"a": 2}),
        ({"a": collections.OrderedDict(b=1)}, {"a": {"b": 1}}),
        ({1: 2, None: 3, 1.5: 4}, {"1": 2, "null": 3, "1.5": 4}),
        ({"a": {1: 2}}, {"a": {"1": 2}}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("before", [None, {}, {"a": 1, "1": 2}], ids=repr)
def test_what_json_has_otherwise_is_kept_as_json_has_it_whatever_was_there(
    given: Any, kept: Any, before: dict[str, Any] | None
) -> None:
    parts, edits = successor(None if before is None else apart(before), given)
    assert exactly(together(parts)) == exactly(kept)
    assert exactly(edited(before, edits)) == exactly(kept)
    assert successor(parts, given) == (parts, []), "the second time it is no change"


@pytest.mark.parametrize("value", [b"bytes", {1}, 1j, ..., object, [b"bytes"], {"b": {1}}, (1j,)], ids=repr)
@pytest.mark.parametrize("before", [None, {"a": 1}, {"a": [1]}], ids=repr)
def test_what_is_no_json_is_refused_also_where_marshal_would_take_it(value: Any, before: dict[str, Any] | None) -> None:
    with pytest.raises(TypeError, match="it is no JSON"):
        successor(None if before is None else apart(before), {"a": value})


@pytest.mark.parametrize("before", [None, {"a": 1}], ids=repr)
def test_what_is_no_dict_is_refused_whatever_was_there(before: dict[str, Any] | None) -> None:
    with pytest.raises(TypeError, match="it is no JSON"):
        successor(None if before is None else apart(before), collections.UserDict(a=1))  # type: ignore[arg-type]


def test_texts_and_bytes_are_never_compared() -> None:
    """Python can be told to refuse that (-bb)."""
    script = "from muster.store.parts import apart, successor; successor(apart({'a': 'x'}), {'a': [1]})"
    subprocess.run([sys.executable, "-bb", "-c", script], check=True)


def test_documents_of_others_can_be_compared_where_they_are_the_same() -> None:
    assert difference({"a": Text("b")}, {"a": Text("b")}) == []


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ([1], [True]), ({"b": 1}, {"b": 1.0})])
def test_numbers_of_other_types_are_other_values(one: Any, other: Any) -> None:
    for before, after in ((one, other), (other, one)):
        parts, edits = successor(apart({"a": before}), {"a": after})
        assert exactly(together(parts)) == exactly({"a": after})
        assert len(edits) == 1


@pytest.mark.parametrize("wrapped", [lambda value: value, lambda value: [value]])
def test_nan_is_itself_and_the_order_of_names_says_nothing(wrapped: Any) -> None:
    assert successor(apart({"a": wrapped(math.nan)}), {"a": wrapped(float("nan"))})[1] == []
    assert successor(apart({"a": wrapped(0.0)}), {"a": wrapped(-0.0)})[1] == []
    assert successor(apart({"a": wrapped({"b": 1, "c": 2})}), {"a": wrapped({"c": 2, "b": 1})})[1] == []
    assert successor(apart({"a": 1, "b": 2}), {"b": 2, "a": 1})[1] == []
