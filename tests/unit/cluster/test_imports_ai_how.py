# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of AI-HOW's clusters of virtual machines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster
from muster.model import SECRET

from tests.unit.cluster.importing import AI_HOW, AI_HOW_2, cluster_at, content, documents


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return cluster_at(tmp_path / "store")


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock shows the time of New York."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def machine(**fields: Any) -> str:
    """A file with one virtual machine."""
    vms = [{"name": "vm", "state": "RUNNING"} | fields]
    return json.dumps({"cluster_name": "lab", "cluster_type": "hpc", "vms": vms})


def test_each_thing_goes_into_a_table_of_its_kind(cluster: Cluster) -> None:
    report = cluster.import_state("ai-how", AI_HOW, timezone="UTC")
    assert report.counts == {
        "virtual_clusters": {"created": 1},
        "virtual_machines": {"created": 9},
        "networks": {"created": 1},
        "volumes": {"created": 2},
    }
    controller = documents(cluster, "virtual_machines")["controller"]
    assert {key: value for key, value in controller.items() if key != "imported"} == {
        "cluster": "hpc-lab",
        "name": "controller",
        "role": None,
        "cpu_cores": 8,
        "memory_gb": 32,
        "state": "RUNNING",
        "ip_address": "192.168.100.10",
        "gpu_count": 0,
        "volumes": ["/srv/images/hpc-lab/controller.qcow2"],
        "created_at": "2026-10-21T14:32:15.123456Z",
        "last_seen": "2026-11-23T11:35:40.000000Z",
    }
    cluster_document = documents(cluster, "virtual_clusters")["hpc-lab"]
    assert (cluster_document["type"], cluster_document["status"]) == ("hpc", "partial")
    assert cluster_document["last_modified"] == "2026-11-23T11:35:42.000000Z"
    assert documents(cluster, "networks")["hpc-lab-net"]["subnet"] == "192.168.100.0/24"
    assert documents(cluster, "volumes")["scratch"]["size_gb"] == 0.5


def test_what_the_file_said_is_kept_as_it_was_but_for_secrets(cluster: Cluster) -> None:
    cluster.import_state("ai-how", AI_HOW, timezone="Europe/Berlin")
    written = content(AI_HOW)
    written["vms"][0]["cloud_init"]["password"] = SECRET
    for table, word in (("virtual_machines", "vms"), ("networks", "networks"), ("volumes", "volumes")):
        assert [document["imported"] for document in cluster.store.read().all(table)] == written[word]
    root = {key: value for key, value in written.items() if key not in ("vms", "networks", "volumes")}
    assert documents(cluster, "virtual_clusters")["hpc-lab"]["imported"] == root


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("RUNNING", "RUNNING"),
        ("PAUSED", "PAUSED"),
        ("SHUTOFF", "SHUTOFF"),
        ("UNDEFINED", "UNDEFINED"),
        ("CRASHED", "CRASHED"),
        ("DYING", "DYING"),
        ("PMSUSPENDED", "PMSUSPENDED"),
        ("BLOCKED", "RUNNING"),
        ("SHUTDOWN", "DYING"),
        ("NOSTATE", "UNDEFINED"),
        ("error", "UNDEFINED"),
        ("running", "RUNNING"),
        ("shut off", "SHUTOFF"),
        ("VIR_DOMAIN_BLOCKED", "RUNNING"),
        ("VIR_DOMAIN_PMSUSPENDED", "PMSUSPENDED"),
    ],
)
def test_states_get_the_names_that_ai_how_has(cluster: Cluster, said: str, state: str) -> None:
    report = cluster.import_state("ai-how", machine(state=said))
    assert documents(cluster, "virtual_machines")["vm"]["state"] == state
    translated = f"vm is said to be {said}: that is read as {state}" in report.remarks
    assert translated == (said.lower().removeprefix("vir_domain_") in ("blocked", "shutdown", "nostate", "error"))


class TestTimes:
    @pytest.mark.parametrize(
        ("zone", "said", "utc"),
        [
            ("Europe/Berlin", "2026-07-01T12:00:00", "2026-07-01T10:00:00.000000Z"),
            ("Europe/Berlin", "2026-12-01T12:00:00.25", "2026-12-01T11:00:00.250000Z"),
            ("Asia/Kolkata", "2026-07-01 12:00:00", "2026-07-01T06:30:00.000000Z"),
            ("utc", "2026-07-01T12:00:00", "2026-07-01T12:00:00.000000Z"),
            ("Europe/Berlin", "2026-07-01T12:00:00-05:00", "2026-07-01T17:00:00.000000Z"),
            ("Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00.000000Z"),
        ],
    )
    def test_a_time_without_a_zone_is_of_the_zone_that_is_given(
        self, cluster: Cluster, zone: str, said: str, utc: str
    ) -> None:
        report = cluster.import_state("ai-how", machine(last_seen=said), timezone=zone)
        assert documents(cluster, "virtual_machines")["vm"]["last_seen"] == utc
        assert report.remarks == []

    def test_or_else_of_this_machine(self, cluster: Cluster, in_new_york: None) -> None:
        cluster.import_state("ai-how", machine(created_at="2026-07-01T12:00:00", last_seen="2026-12-01T12:00:00"))
        document = documents(cluster, "virtual_machines")["vm"]
        assert document["created_at"] == "2026-07-01T16:00:00.000000Z"
        assert document["last_seen"] == "2026-12-01T17:00:00.000000Z"

    @pytest.mark.parametrize(
        ("said", "taken", "other"),
        [
            ("2026-10-25T02:30:00", "2026-10-25T00:30:00.000000Z", "2026-10-25T01:30:00.000000Z"),
            ("2026-03-29T02:30:00", "2026-03-29T01:30:00.000000Z", "2026-03-29T00:30:00.000000Z"),
        ],
    )
    def test_an_hour_that_was_twice_or_never_is_remarked(
        self, cluster: Cluster, said: str, taken: str, other: str
    ) -> None:
        report = cluster.import_state("ai-how", machine(last_seen=said), timezone="Europe/Berlin")
        assert documents(cluster, "virtual_machines")["vm"]["last_seen"] == taken
        assert report.remarks == [
            f"vms.0.last_seen: {said} was twice or never on that clock: {taken} is taken, not {other}"
        ]


class TestVersion2:
    """What AI-HOW itself writes since then, which goes by role instead of lists at the root."""

    def test_machines_have_their_roles(self, cluster: Cluster) -> None:
        cluster.import_state("ai-how", AI_HOW_2, timezone="UTC")
        machines = documents(cluster, "virtual_machines")
        assert {name: found["role"] for name, found in machines.items()} == {
            "cloud-lab-controller": "controller",
            "cloud-lab-worker-1": "worker",
        }
        assert machines["cloud-lab-controller"]["volumes"] == ["/srv/images/cloud-lab/controller.qcow2"]
        assert machines["cloud-lab-worker-1"]["volumes"] == ["/srv/images/cloud-lab/worker-1.qcow2"]
        assert machines["cloud-lab-worker-1"]["last_modified"] == "2026-11-23T10:00:10.000000Z"

    def test_a_gpu_without_a_count_is_not_counted(self, cluster: Cluster) -> None:
        report = cluster.import_state("ai-how", AI_HOW_2, timezone="UTC")
        machines = documents(cluster, "virtual_machines")
        assert [machines[f"cloud-lab-{name}"]["gpu_count"] for name in ("controller", "worker-1")] == [0, None]
        assert "how many GPUs cloud-lab-worker-1 has is not said, only that it has some" in report.remarks

    def test_its_network_goes_by_the_bridge(self, cluster: Cluster) -> None:
        cluster.import_state("ai-how", AI_HOW_2, timezone="UTC")
        network = documents(cluster, "networks")["virbr200"]
        assert network["subnet"] == "192.168.200.0/24"
        assert network["imported"] == content(AI_HOW_2)["network_config"]

    def test_the_pool_is_kept_with_the_cluster_and_its_volumes_are_volumes(self, cluster: Cluster) -> None:
        cluster.import_state("ai-how", AI_HOW_2, timezone="UTC")
        pool = content(AI_HOW_2)["storage_pool"]
        (volume,) = documents(cluster, "volumes").values()
        assert (volume["size_gb"], volume["imported"]) == (200.0, pool.pop("volumes")[0])
        assert documents(cluster, "virtual_clusters")["cloud-lab"]["imported"]["storage_pool"] == pool


def test_clusters_stand_side_by_side(cluster: Cluster) -> None:
    for name in ("north", "south"):
        file = {"cluster_name": name, "cluster_type": "hpc", "vms": [{"name": "vm", "state": "PAUSED"}]}
        assert cluster.import_state("ai-how", json.dumps(file)).changed
    assert {document["cluster"] for document in cluster.store.read().all("virtual_machines")} == {"north", "south"}
