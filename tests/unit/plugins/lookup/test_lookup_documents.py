# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to documents: what matches, what a path leads to, and which fields cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster
from ansible_collections.muster.training.plugins.module_utils.model import InvalidInput, JobSpec
from ansible_collections.muster.training.plugins.plugin_utils.documents import (
    check_field,
    documents_of,
    matching,
    value_at,
)


def names(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["name"] for row in rows)


def test_all_fields_of_where_must_be_equal_and_a_list_means_any_of(cluster: Cluster) -> None:
    nodes = cluster.view().nodes
    assert names(matching(nodes, {"labels.rack": "r2"})) == ["n2", "n3"]
    assert names(matching(nodes, {"labels.rack": "r2", "name": "n3"})) == ["n3"]
    assert names(matching(nodes, {"name": ["n1", "n3", "n9"]})) == ["n1", "n3"]
    assert names(matching(nodes, {})) == ["g1", "n1", "n2", "n3"]
    assert matching(nodes, {"labels.rack": []}) == []


def test_a_field_that_is_a_list_matches_by_any_of_its_items(cluster: Cluster, spec: Callable[..., JobSpec]) -> None:
    job, _plan = cluster.allocate(spec(nodes=2, slots=None, slots_per_node=1))
    held = sorted(lease.node for lease in cluster.leases(job.id))
    jobs = cluster.view().jobs
    assert [row["id"] for row in matching(jobs, {"nodes": held[0]})] == [job.id]
    assert matching(jobs, {"nodes": "nowhere"}) == []


def test_numbers_may_be_text_but_truth_and_nothing_are_only_themselves(cluster: Cluster) -> None:
    nodes = cluster.view().nodes
    assert names(matching(nodes, {"slots": "2"})) == ["n1"]
    assert names(matching(nodes, {"reachability.ok": True})) == ["g1", "n1", "n2", "n3"]
    assert matching(nodes, {"reachability.ok": "True"}) == []
    assert names(matching(nodes, {"interface": None})) == ["g1", "n1", "n2", "n3"]
    assert matching(nodes, {"interface": "None"}) == []


def test_a_path_goes_through_mappings_by_key_and_through_lists_by_index(cluster: Cluster) -> None:
    rows = {row["name"]: row for row in cluster.view().nodes}
    assert value_at(rows["g1"], "gpus.1.uuid") == "GPU-1"
    assert value_at(rows["g1"], "gpus.2.uuid") is None
    assert value_at(rows["n1"], "labels.example.org/zone") == "a"
    assert value_at(rows["n1"], "name.first") is None


def test_one_is_found_by_its_id_and_the_latest_of_a_name(cluster: Cluster, spec: Callable[..., JobSpec]) -> None:
    first, second = cluster.submit(spec()), cluster.submit(spec())
    view = cluster.view()
    assert [row["id"] for row in documents_of(view, "jobs", first.id)] == [first.id]
    assert [row["id"] for row in documents_of(view, "jobs", "ring")] == [second.id]
    assert documents_of(view, "jobs", "rung") == []
    assert names(documents_of(view, "nodes", "n2")) == ["n2"]
    assert documents_of(view, "nodes", "n9") == []
    assert documents_of(view, "nodes", "n2") == [row for row in view.nodes if row["name"] == "n2"]


@pytest.mark.parametrize(
    ("table", "field", "sentence"),
    [
        ("nodes", "stauts", "nodes has no field 'stauts' (did you mean status?)"),
        ("nodes", "admin.stat", "field admin of nodes has no field 'stat' (did you mean state?)"),
        ("nodes", "gpus.0.modle", "field gpus.0 of nodes has no field 'modle' (did you mean model?)"),
        ("jobs", "spec.constraint", "field spec of jobs has no field 'constraint' (did you mean constraints?)"),
    ],
)
def test_a_field_that_cannot_be_is_refused_with_the_nearest(
    cluster: Cluster, spec: Callable[..., JobSpec], table: str, field: str, sentence: str
) -> None:
    cluster.submit(spec())
    with pytest.raises(InvalidInput) as refused:
        check_field(table, documents_of(cluster.view(), table), field)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("field", ["labels.anything", "connection.host", "gpus.7.uuid", "status", "gpu_model", "admin"])
def test_a_field_that_may_be_missing_here_is_no_mistake(cluster: Cluster, field: str) -> None:
    check_field("nodes", cluster.view().nodes, field)


def test_an_unknown_table_is_refused_with_the_nearest(cluster: Cluster) -> None:
    with pytest.raises(InvalidInput, match=r"there is no table 'node' \(did you mean nodes\?\)"):
        documents_of(cluster.view(), "node")
