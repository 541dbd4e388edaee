# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Targets as they are kept in a node's record."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.model.errors import InvalidInput
from muster.remote import Target

paths = st.text(min_size=1)
targets = st.builds(
    Target,
    name=st.text(min_size=1),
    transport=st.sampled_from(["ssh", "local"]),
    host=st.text(),
    port=st.none() | st.integers(1, 65535),
    user=st.none() | st.text(min_size=1),
    key_files=st.lists(paths).map(tuple),
    identities_only=st.booleans(),
    ssh_config=st.none() | paths,
    jump=st.none() | st.text(min_size=1),
    known_hosts=st.lists(paths).map(tuple),
    host_key_checking=st.sampled_from([None, "yes", "accept-new", "no"]),
    connect_timeout_s=st.floats(0.1, 100),
    become_user=st.none() | st.text(min_size=1),
    state_dir=st.text().map("/".__add__),
)


@given(targets)
def test_a_target_comes_back_from_json_as_it_was(target: Target) -> None:
    assert Target.from_document(json.loads(json.dumps(target.to_document()))) == target


def test_a_plain_target_is_a_short_document() -> None:
    assert Target("n1", user="ops").to_document() == {"name": "n1", "user": "ops"}


def test_what_a_newer_version_wrote_is_passed_over() -> None:
    assert Target.from_document({"name": "n1", "of_the_future": [1]}) == Target("n1")


def test_a_record_without_a_target_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="sync"):
        Target.from_document({})


@pytest.mark.parametrize("path", ["muster", "~/muster", "./muster", ""])
def test_a_state_directory_that_is_not_absolute_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="muster_state_dir of n1"):
        Target("n1", state_dir=path)
