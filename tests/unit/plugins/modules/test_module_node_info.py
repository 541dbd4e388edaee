# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``node_info``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster
from ansible_collections.muster.training.plugins.module_utils.model import JobSpec

Run = Callable[..., dict[str, Any]]


def names(result: dict[str, Any]) -> list[str]:
    return [node["name"] for node in result["nodes"]]


def test_all_nodes_come_with_what_is_derived(run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]) -> None:
    job, _plan = cluster.allocate(spec(), within=["n1"])
    result = run_module("node_info")
    assert not result["changed"]
    assert names(result) == ["g1", "n1", "n2", "n3"]
    node = result["nodes"][1]
    assert (node["status"], node["size"], node["free"], node["jobs"]) == ("mixed", 2, 1, [job.id])
    assert result["counts"] == {"idle": 3, "mixed": 1}


def test_every_filter_must_accept_a_node(run_module: Run, cluster: Cluster) -> None:
    cluster.drain(["n3"], reason="new memory")
    assert names(run_module("node_info", labels={"rack": "r2"})) == ["n2", "n3"]
    assert names(run_module("node_info", labels={"rack": "r2"}, statuses=["drained"])) == ["n3"]
    assert names(run_module("node_info", names=["n1", "n3"], statuses=["idle"])) == ["n1"]
    assert names(run_module("node_info", names=[])) == []


def test_a_name_that_is_unknown_is_said_to_be_missing(run_module: Run, cluster: Cluster) -> None:
    result = run_module("node_info", names=["n1", "n9"], statuses=["drained"])
    assert (names(result), result["missing"]) == ([], ["n9"])


def test_a_store_that_nobody_has_written_to_has_no_nodes_and_is_not_made(run_module: Run, location: str) -> None:
    result = run_module("node_info", check_mode=True)
    assert (result["nodes"], result["counts"], result["serial"]) == ([], {}, 0)
    assert not Path(location).exists()
