# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``node``: what the inventory says of nodes, and what people decide about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster
from ansible_collections.muster.training.plugins.module_utils.model import JobSpec

Run = Callable[..., dict[str, Any]]
TWO = [
    {"name": "n1", "address": "10.0.0.1", "slots": 2, "labels": {"topology": "rack-a"}},
    {"name": "n2", "address": "10.0.0.2", "slots": "1"},
]


def test_a_list_of_nodes_is_one_transaction(run_module: Run) -> None:
    many = [{"name": f"n{index}", "address": f"10.0.1.{index}"} for index in range(100)]
    result = run_module("node", nodes=many)
    assert result["changed"]
    assert {change["action"] for change in result["changes"]} == {"created"}
    assert [node["name"] for node in result["nodes"]] == [node["name"] for node in many]
    assert run_module("node_info")["serial"] == 1


def test_the_same_again_changes_nothing(run_module: Run, content: Callable[[], dict[str, bytes]]) -> None:
    run_module("node", nodes=TWO)
    before = content()
    result = run_module("node", nodes=TWO)
    assert (result["changed"], result["changes"]) == (False, [])
    assert [node["name"] for node in result["nodes"]] == ["n1", "n2"]
    assert content() == before


def test_check_mode_tells_the_same_and_writes_nothing(run_module: Run, location: str) -> None:
    foreseen = run_module("node", nodes=TWO, check_mode=True)
    assert not Path(location).exists()
    done = run_module("node", nodes=TWO)
    assert foreseen["changes"] == done["changes"]
    assert foreseen["changed"] and done["changed"]


def test_a_diff_has_only_what_changes(run_module: Run) -> None:
    run_module("node", nodes=TWO)
    assert "diff" not in run_module("node", nodes=TWO)
    changed = [TWO[0], TWO[1] | {"slots": 4}]
    diff = run_module("node", nodes=changed, diff=True)["diff"]
    assert list(diff["before"]) == list(diff["after"]) == ["n2"]
    assert (diff["before"]["n2"]["slots"], diff["after"]["n2"]["slots"]) == (1, 4)


def test_purge_forgets_what_is_in_neither_list(run_module: Run, cluster: Cluster) -> None:
    result = run_module("node", nodes=TWO, keep=["g1"], purge=True)
    assert [(change["name"], change["action"]) for change in result["changes"]][-1] == ("n3", "removed")
    assert set(cluster.nodes()) == {"n1", "n2", "g1"}


def test_purge_keeps_a_node_that_holds_a_lease_and_says_so(
    run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]
) -> None:
    job, _plan = cluster.allocate(spec(), within=["n3"])
    result = run_module("node", nodes=TWO, purge=True)
    assert result["kept"] == ["n3"]
    assert f"n3 holds a lease of job {job.id}" in result["warnings"][0]
    assert "n3" in cluster.nodes()


def test_purge_with_no_names_at_all_is_refused(run_module: Run, cluster: Cluster) -> None:
    result = run_module("node", nodes=[], purge=True)
    assert (result["failed"], result["error"]["code"]) == (True, "invalid_input")
    assert "would remove every node" in result["msg"]
    assert len(cluster.nodes()) == 4


@pytest.mark.parametrize("state", ["drained", "draining"])
def test_a_drained_node_says_who_and_why_and_can_be_resumed(run_module: Run, cluster: Cluster, state: str) -> None:
    asked: dict[str, Any] = {"names": ["n1", "n2"], "state": state, "reason": "new memory"}
    assert run_module("node", **asked)["changed"]
    assert not run_module("node", **asked)["changed"]
    admin = cluster.nodes()["n1"].admin
    assert (admin.state, admin.reason) == (state, "new memory")
    assert admin.by.startswith("ansible:")
    assert run_module("node", names=["n1"], state="resumed")["changed"]
    assert not run_module("node", names=["n1"], state="resumed")["changed"]
    assert cluster.nodes()["n1"].admin.state == "enabled"


def test_a_drain_stays_when_the_node_is_synced_again(run_module: Run, cluster: Cluster) -> None:
    run_module("node", names=["n1"], state="drained", reason="new memory")
    run_module("node", nodes=TWO)
    assert cluster.nodes()["n1"].admin.state == "drained"


def test_a_drain_needs_a_reason(run_module: Run) -> None:
    assert "reason" in run_module("node", names=["n1"], state="drained")["msg"]


def test_absent_forgets_and_is_content_if_there_is_none(run_module: Run, cluster: Cluster) -> None:
    result = run_module("node", names=["n3", "n9"], state="absent", reason="sold")
    assert result["changes"] == [{"name": "n3", "action": "removed", "reason": ""}]
    assert result["nodes"] == []
    assert not run_module("node", names=["n3", "n9"], state="absent")["changed"]


def test_a_node_that_holds_a_lease_cannot_be_removed(
    run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]
) -> None:
    cluster.allocate(spec(), within=["n3"])
    result = run_module("node", names=["n1", "n3"], state="absent")
    assert (result["failed"], result["changed"], result["error"]["code"]) == (True, False, "in_use")
    assert set(cluster.nodes()) == {"n1", "n2", "n3", "g1"}


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"nodes": [TWO[0] | {"adress": "x"}]}, "nodes[0].adress is unknown: did you mean address?"),
        ({"nodes": [{"name": "n1"}]}, "nodes[0].address is missing"),
        ({"nodes": [TWO[0], TWO[1] | {"slots": "many"}]}, "nodes[1].slots: must be a whole number, not 'many'"),
        ({"nodes": [TWO[0], TWO[0]]}, "node n1 is given twice (each node once)"),
        ({"names": ["n1", "n1"], "state": "absent"}, "node n1 is given twice (each node once)"),
        ({"names": ["n11"], "state": "resumed"}, "node n11 is not in the state (did you mean n1?)"),
    ],
)
def test_a_mistake_gets_one_sentence_and_changes_nothing(
    run_module: Run, cluster: Cluster, content: Callable[[], dict[str, bytes]], asked: dict[str, Any], sentence: str
) -> None:
    before = content()
    result = run_module("node", **asked)
    assert (result["failed"], result["msg"]) == (True, sentence)
    assert content() == before
