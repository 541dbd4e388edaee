# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A survey: all that is alive on a node, and what became of the attempts that are named, in one call."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.unit.agent.node import Node, python, until
from tests.unit.agent.test_agent_stop import DEAF

SLEEP = ["sleep", "600"]


def surveyed(node: Node, *words: object) -> dict[str, tuple[str, int]]:
    """Of each attempt that the node tells of: its state, and how many of its processes are left."""
    found: list[dict[str, Any]] = node.call("survey", *words).payload["attempts"]
    return {f"{one['job']}.{one['attempt']}": (one["state"], one["left"]) for one in found}


def test_an_empty_node_has_nothing_to_tell(node: Node) -> None:
    assert surveyed(node) == {}
    assert surveyed(node, "--also", "never-heard-of.1") == {}
    assert surveyed(node, "--also", "") == {}


def test_what_is_alive_is_told_and_what_has_ended_where_it_is_asked_for(node: Node) -> None:
    over, runs = node.spec(["true"]), node.spec(SLEEP)
    for spec in (over, runs):
        node.start(spec)
    node.ended(over)
    ended, alive = f"{over['job']}.1", f"{runs['job']}.1"
    assert surveyed(node) == {alive: ("running", 0)}
    assert surveyed(node, "--also", f"{ended},never-heard-of.1") == {ended: ("succeeded", 0), alive: ("running", 0)}
    node.stop(runs)
    assert surveyed(node) == {}


def test_what_a_dead_supervisor_has_left_is_told(node: Node, tmp_path: Path) -> None:
    spec = node.spec(python(DEAF, str(tmp_path / "ready")))
    node.start(spec)
    until((tmp_path / "ready").exists, "the rank ignores SIGTERM")
    os.kill(node.status(spec)["supervisor"]["pid"], signal.SIGKILL)
    until(lambda: surveyed(node) == {f"{spec['job']}.1": ("lost", 1)}, "its rank is left")
    node.stop(spec)
    assert surveyed(node) == {}


def test_whose_an_attempt_is_stands_in_its_record(node: Node) -> None:
    spec = node.spec(SLEEP, lineage="4146e131")
    node.start(spec)
    (status,) = node.call("survey").payload["attempts"]
    assert (status["lineage"], status["epoch"]) == ("4146e131", spec["epoch"])


def test_names_that_are_none_are_refused(node: Node) -> None:
    for words in (["--also", "no-number"], ["--also", "job.one"], ["--live"]):
        assert node.call("survey", *words).error["code"] == "usage"
