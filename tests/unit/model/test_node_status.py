# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's displayed status: the worst that is true of it."""

from typing import Any

import pytest
from muster.model import (
    Admin,
    Health,
    InvalidInput,
    Node,
    NodeFacts,
    Reachability,
    StoreError,
    restored,
    status,
    validated,
)

from tests.unit.samples import facts, gpus, node

BAD: list[tuple[str, dict[str, Any]]] = [
    ("unreachable", {"reachability": Reachability(ok=False)}),
    ("unhealthy", {"health": Health(state="unhealthy")}),
    ("drained", {"admin": Admin(state="drained")}),
    ("draining", {"admin": Admin(state="draining")}),
    ("unknown", {"health": Health(state="unknown", at="2026-11-29T12:00:00Z")}),
]


@pytest.mark.parametrize(
    ("taken", "word"), [(0, "idle"), (1, "mixed"), (3, "mixed"), (4, "allocated"), (5, "allocated")]
)
def test_a_sound_node_is_as_busy_as_its_leases_say(taken: int, word: str) -> None:
    assert status(node("n1", gpu=4), taken=taken) == word
    assert status(node("n1", slots=4), taken=taken) == word


@pytest.mark.parametrize("worse", range(len(BAD)))
def test_the_worst_comes_first(worse: int) -> None:
    """Each word wins over all that come after it."""
    everything_milder: dict[str, Any] = {}
    for _word, fields in reversed(BAD[worse:]):
        everything_milder |= fields
    assert status(node("n1", gpu=4, **everything_milder), taken=1) == BAD[worse][0]


def test_a_draining_node_is_drained_once_nothing_runs_there() -> None:
    draining = node("n1", gpu=4, admin=Admin(state="draining"))
    assert status(draining, taken=1) == "draining"
    assert status(draining, taken=0) == "drained"


def test_a_node_that_nobody_has_reached_yet_is_unknown() -> None:
    assert status(node("n1", reachability=Reachability()), taken=0) == "unknown"


def test_a_node_that_nobody_watches_is_offered() -> None:
    assert status(node("n1", health=Health()), taken=0) == "idle"


@pytest.mark.parametrize(("before", "now"), [("OK", "healthy"), ("WARN", "degraded"), ("CRIT", "unhealthy")])
def test_states_of_health_that_were_written_earlier_are_understood(before: str, now: str) -> None:
    assert Health.model_validate({"state": before, "reason": "", "at": None}).state == now


def test_a_warning_does_not_make_a_node_unhealthy() -> None:
    assert status(node("n1", health=Health(state="degraded")), taken=0) == "idle"


def test_a_node_without_gpus_says_unknown_and_0_mib() -> None:
    document = node("n1", slots=3).model_dump(mode="json")
    assert (document["gpu_model"], document["gpu_memory_mib"], document["slots"]) == ("unknown", 0, 3)


def test_a_node_of_unequal_gpus_names_them_all_and_promises_the_least() -> None:
    mixed = node("n1", gpus=[*gpus("n1", 1), *gpus("n1b", 1, model="NVIDIA T4", memory_mib=15360)])
    assert mixed.gpu_model == "NVIDIA H100 80GB HBM3, NVIDIA T4"
    assert mixed.gpu_memory_mib == 15360


def test_labels_are_text_and_their_names_are_checked() -> None:
    assert facts("n1", labels={"rack": 2, "spot": True}).labels == {"rack": "2", "spot": "true"}
    with pytest.raises(InvalidInput, match="'a b' is no label name"):
        validated(NodeFacts, {"name": "n1", "address": "10.0.0.1", "labels": {"a b": "c"}}, "node n1")


def test_a_node_of_the_state_that_was_damaged_by_hand_is_named_in_one_sentence() -> None:
    row = node("n1").model_dump(mode="json") | {"slots": "many"}
    with pytest.raises(StoreError, match="^the state is damaged: node n1.slots: must be a whole number, not 'many'"):
        restored(Node, row, "node n1")


def test_what_a_later_version_adds_to_a_node_is_ignored() -> None:
    row = node("n1").model_dump(mode="json") | {"colour": "green"}
    assert restored(Node, row, "node n1") == node("n1")
