# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What crosses from Ansible into the library is plain."""

from __future__ import annotations

import getpass
from datetime import date
from typing import Any

import pytest
from ansible._internal._datatag._tags import Origin, TrustedAsTemplate
from ansible.module_utils._internal._datatag import AnsibleTagHelper
from ansible_collections.muster.training.plugins.module_utils.door import call


def tagged(value: Any) -> Any:
    return AnsibleTagHelper.tag(value, (Origin(path="/job.yml"), TrustedAsTemplate()))


def types(value: Any) -> set[type]:
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return {type(value)}.union(*map(types, inner))


def test_tags_are_left_at_the_door_at_every_depth() -> None:
    given = tagged(
        {tagged("name"): tagged("ring"), "env": tagged({"A": tagged(1)}), "words": tagged([tagged("x"), 2.5])}
    )
    assert types(given) - {dict, list, str, int, float, type(None)}
    found = call.plain(given)
    assert found == {"name": "ring", "env": {"A": 1}, "words": ["x", 2.5]}
    assert types(found) <= {dict, list, str, int, float, type(None)}


def test_truth_and_nothing_stay_what_they_are_and_a_date_becomes_text() -> None:
    assert call.plain({"a": True, "b": None, "c": (1,), "d": date(2026, 11, 23)}) == {
        "a": True,
        "b": None,
        "c": [1],
        "d": "2026-11-23",
    }


def test_a_user_without_a_name_is_still_an_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000700000")

    assert call.actor("ansible").startswith(f"ansible:{getpass.getuser()}@")
    monkeypatch.setattr(getpass, "getuser", nameless)
    assert call.actor("ansible").startswith("ansible:uid ")
