# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin over a real store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster
from ansible_collections.muster.training.plugins.module_utils.model import JobSpec, NodeFacts

Parse = Callable[..., InventoryData]


@pytest.fixture
def parse(tmp_path: Path, location: str) -> Parse:
    """The inventory that a file with these options gives."""

    def run(**options: Any) -> InventoryData:
        source = tmp_path / "my_cluster_state.yml"
        source.write_text(yaml.safe_dump({"plugin": "muster.training.cluster_state", "store": location} | options))
        inventory = InventoryData()
        plugin = inventory_loader.get("muster.training.cluster_state")
        assert plugin.verify_file(str(source))
        plugin.parse(inventory, DataLoader(), str(source))
        inventory.reconcile_inventory()
        return inventory

    return run


def members(inventory: InventoryData) -> dict[str, list[str]]:
    """Group -> hosts, but for all and ungrouped."""
    groups = inventory.get_groups_dict()
    return {name: sorted(hosts) for name, hosts in groups.items() if name not in ("all", "ungrouped")}


def test_nodes_are_hosts_in_rank_order_grouped_by_status_labels_and_gpu_model(cluster: Cluster, parse: Parse) -> None:
    cluster.contacted([], {"n3": "no route"})
    inventory = parse()
    assert list(inventory.hosts) == ["g1", "n1", "n2", "n3"]
    assert members(inventory) == {
        "status_idle": ["g1", "n1", "n2"],
        "status_unreachable": ["n3"],
        "label_rack_r1": ["n1"],
        "label_rack_r2": ["n2", "n3"],
        "label_example_org_zone_a": ["n1"],
        "gpu_NVIDIA_H100_80GB_HBM3": ["g1"],
        "gpu_unknown": ["n1", "n2", "n3"],
    }


def test_what_the_state_knows_is_in_variables(cluster: Cluster, parse: Parse, spec: Callable[..., JobSpec]) -> None:
    job, _plan = cluster.allocate(spec(slots=4))
    variables = parse().get_host("n1").get_vars()
    assert (variables["muster_status"], variables["muster_free"]) == ("allocated", 0)
    assert variables["muster_jobs"] == [job.id]
    assert (variables["muster_address"], variables["muster_labels"]["rack"]) == ("10.0.0.1", "r1")


@pytest.mark.parametrize(
    ("by", "groups"),
    [([], []), (["status"], ["status_idle"]), (["gpu_model"], ["gpu_NVIDIA_H100_80GB_HBM3", "gpu_unknown"])],
)
def test_groups_are_only_those_asked_for(cluster: Cluster, parse: Parse, by: list[str], groups: list[str]) -> None:
    assert sorted(members(parse(group_by=by))) == groups


def test_only_nodes_that_match_where_are_hosts(cluster: Cluster, parse: Parse) -> None:
    assert list(parse(where={"labels.rack": "r2"}).hosts) == ["n2", "n3"]


def test_constructed_groups_and_variables_work(cluster: Cluster, parse: Parse) -> None:
    inventory = parse(
        group_by=[],
        keyed_groups=[{"key": "muster_labels.rack", "prefix": "in", "default_value": "nowhere"}],
        groups={"roomy": "muster_free > 1"},
        compose={"shouted": "muster_status | upper"},
    )
    assert members(inventory) == {"in_r1": ["n1"], "in_r2": ["n2", "n3"], "roomy": ["g1", "n1"]}
    assert inventory.get_host("n1").get_vars()["shouted"] == "IDLE"


def test_strict_makes_a_wrong_expression_an_error(cluster: Cluster, parse: Parse) -> None:
    assert parse(groups={"x": "nothing.here"}) is not None
    with pytest.raises(AnsibleParserError, match="Could not add host"):
        parse(groups={"x": "nothing.here"}, strict=True)


def test_text_of_the_state_is_never_run_as_a_template(cluster: Cluster, parse: Parse) -> None:
    cluster.sync_nodes([NodeFacts(name="n5", address="10.0.0.5", labels={"rack": "{{ 1 + 1 }}"})])
    inventory = parse(compose={"rack": "muster_labels.rack"})
    assert inventory.get_host("n5").get_vars()["rack"] == "{{ 1 + 1 }}"


def test_an_empty_store_is_an_empty_inventory(parse: Parse, location: str) -> None:
    assert not parse().hosts
    assert not Path(location).exists()


def test_a_damaged_store_is_one_sentence(cluster: Cluster, parse: Parse, location: str) -> None:
    Path(location, "state.json").write_text("{")
    shutil.rmtree(Path(location, "journal"))
    with pytest.raises(AnsibleParserError, match="state.json is damaged"):
        parse()


def test_a_wrong_field_in_where_is_said_with_the_nearest(cluster: Cluster, parse: Parse) -> None:
    with pytest.raises(AnsibleParserError, match=r"nodes has no field 'stauts' \(did you mean status\?\)"):
        parse(where={"stauts": "idle"})


@pytest.mark.parametrize(
    ("name", "ours"), [("cluster_state.yaml", True), ("x.cluster_state.yml", True), ("hosts.yml", False)]
)
def test_its_files_are_known_by_their_names(tmp_path: Path, name: str, ours: bool) -> None:
    (tmp_path / name).write_text("plugin: muster.training.cluster_state\n")
    assert inventory_loader.get("muster.training.cluster_state").verify_file(str(tmp_path / name)) is ours
