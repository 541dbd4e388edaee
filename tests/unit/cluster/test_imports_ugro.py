# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of UGRO's nodes and jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster
from muster.cluster.imports import Report
from muster.model import SECRET, JobSpec, NoCapacity, iso

from tests.unit.cluster.importing import UGRO, cluster_at, content, said
from tests.unit.samples import NOON, facts, spec

RUNNING = "train-20261123-0900"


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return cluster_at(tmp_path / "store")


@pytest.fixture
def report(cluster: Cluster) -> Report:
    return cluster.import_state("ugro", UGRO, timezone="Europe/Berlin")


@pytest.fixture
def nodes(cluster: Cluster, report: Report) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in cluster.view().nodes}


@pytest.fixture
def jobs(cluster: Cluster, report: Report) -> dict[str, dict[str, Any]]:
    return {job["id"]: job for job in cluster.view().jobs}


def test_everything_comes_in_one_transaction_that_says_where_from(cluster: Cluster, report: Report) -> None:
    tables = cluster.store.read()
    assert (tables.serial, tables.changed["who"], tables.changed["why"]) == (1, "alice", "import ugro from ugro.json")
    assert report.counts == {"nodes": {"created": 6}, "jobs": {"created": 5}, "imported": {"created": 12}}
    assert report.changed


class TestNodes:
    def test_an_available_node_is_idle_as_of_its_last_check(self, nodes: dict[str, Any]) -> None:
        assert nodes["gpu1"]["status"] == "idle"
        assert nodes["gpu1"]["last_seen"] == "2026-11-23T10:58:30.250000Z", "Berlin is an hour ahead of UTC in November"

    def test_a_node_that_was_never_checked_is_unknown(self, nodes: dict[str, Any]) -> None:
        assert (nodes["gpu-master"]["status"], nodes["gpu-master"]["last_seen"]) == ("unknown", None)

    def test_an_offline_node_is_unreachable_since_its_last_check(self, nodes: dict[str, Any]) -> None:
        assert nodes["gpu3"]["status"] == "unreachable"
        assert nodes["gpu3"]["reachability"]["at"] == "2026-11-20T06:00:00.000000Z"
        assert nodes["gpu3"]["last_seen"] is None, "a check that failed is no contact"

    def test_a_busy_node_is_drained_for_the_job_that_it_ran(self, nodes: dict[str, Any], report: Report) -> None:
        assert nodes["gpu2"]["status"] == "drained"
        assert nodes["gpu2"]["admin"] == {
            "state": "drained",
            "by": "alice",
            "at": iso(NOON),
            "reason": f"job {RUNNING} was running here in UGRO: see that it has ended, then resume",
        }
        assert "drained, because a job was running there" in "\n".join(report.remarks)

    def test_no_lease_is_made_of_gpus_that_nobody_knows(self, cluster: Cluster, report: Report) -> None:
        assert cluster.leases() == []

    def test_a_node_that_only_a_running_job_names_is_drained_as_well(
        self, nodes: dict[str, Any], report: Report
    ) -> None:
        assert RUNNING in nodes["gpu4"]["admin"]["reason"]
        assert f"gpu4 is said to be available, and to run job {RUNNING}" in report.remarks
        assert f"job {RUNNING} was running on gpu99, which is not among the nodes" in report.remarks

    def test_a_busy_node_without_a_job_is_drained_too(self, nodes: dict[str, Any]) -> None:
        assert nodes["gpu10"]["admin"]["reason"].startswith("busy in UGRO, which does not say with what")

    def test_a_busy_node_is_drained_for_the_job_that_names_it(self, cluster: Cluster) -> None:
        file = {"nodes": {"n1": {"status": "busy"}}, "jobs": {"j1": {"status": "running", "gpu_nodes": ["n1"]}}}
        cluster.import_state("ugro", json.dumps(file))
        assert cluster.nodes()["n1"].admin.reason.startswith("job j1 was running here")

    def test_a_check_in_the_future_is_no_contact_and_is_remarked(self, nodes: dict[str, Any], report: Report) -> None:
        assert nodes["gpu10"]["last_seen"] is None
        assert any("nodes.gpu10.last_check" in remark and "future" in remark for remark in report.remarks)

    def test_the_address_is_the_ip_or_else_the_name(self, nodes: dict[str, Any], report: Report) -> None:
        assert (nodes["gpu1"]["address"], nodes["gpu2"]["address"]) == ("192.168.1.101", "gpu2")
        assert "the address of gpu2, gpu3, gpu4, gpu10 is not said: the name is taken" in report.remarks

    @pytest.mark.parametrize("asked", [{"gpus": 1}, {"slots": 1}, {"nodes": 1}])
    def test_nothing_is_placed_before_a_sync(self, cluster: Cluster, report: Report, asked: dict[str, int]) -> None:
        with pytest.raises(NoCapacity):
            cluster.allocate(spec(**asked))

    def test_a_sync_makes_them_whole_and_keeps_what_was_said(self, cluster: Cluster, report: Report) -> None:
        cluster.sync_nodes([facts("gpu1", gpu=1), facts("gpu2", gpu=1)])
        cluster.allocate(spec(gpus=1), within=["gpu1", "gpu2"])
        assert [lease.node for lease in cluster.leases()] == ["gpu1"], "gpu2 stays drained"
        assert said(cluster, "node", "gpu2")["health_score"] == 88

    def test_all_that_the_file_said_of_a_node_is_kept(self, cluster: Cluster, report: Report) -> None:
        for name, fields in content(UGRO)["nodes"].items():
            assert said(cluster, "node", name) == fields


class TestJobs:
    def test_a_running_job_is_lost_until_its_nodes_are_asked(self, jobs: dict[str, Any], report: Report) -> None:
        job = jobs[RUNNING]
        assert (job["state"], job["ended_at"]) == ("LOST", iso(NOON))
        assert job["started_at"] == "2026-11-23T08:00:05.123456Z"
        assert job["reason"] == (
            "was running on gpu2, gpu4, gpu99 when it was imported from UGRO; nobody has asked since"
        )
        assert f"LOST until the nodes are asked: {RUNNING}" in report.remarks

    def test_a_completed_job_has_succeeded_when_it_was_completed(self, jobs: dict[str, Any]) -> None:
        job = jobs["train-20261120-1800"]
        assert (job["state"], job["reason"]) == ("SUCCEEDED", "completed in UGRO")
        assert (job["started_at"], job["ended_at"]) == ("2026-11-20T17:00:00.000000Z", "2026-11-20T20:30:00.000000Z")

    def test_a_failed_job_says_why(self, jobs: dict[str, Any]) -> None:
        job = jobs["train-20261118-1200"]
        assert (job["state"], job["reason"]) == ("FAILED", "failed in UGRO: CUDA out of memory on rank 2")
        assert (job["created_at"], job["ended_at"]) == ("2026-11-18T11:59:00.000000Z", "2026-11-18T12:04:10.000000Z")

    def test_an_end_that_is_not_said_is_the_start_or_else_now(self, jobs: dict[str, Any], report: Report) -> None:
        assert jobs["train-20261119-0700"]["ended_at"] == "2026-11-19T07:00:00.000000Z"
        assert jobs["train-old"]["ended_at"] == iso(NOON)
        assert (
            "when train-20261119-0700, train-old ended is not said: "
            "the time of the start is taken, or else of the import" in report.remarks
        )

    @pytest.mark.parametrize(
        ("job", "name", "size"),
        [
            (RUNNING, "tinyllama-bnb-4bit", {"nodes": 3, "gpus_per_node": 1}),
            ("train-20261120-1800", "gpt2", {"nodes": 1, "gpus_per_node": 2}),
            ("train-20261119-0700", "train-20261119-0700", {"gpus": 4}),
            ("train-20261118-1200", "gpt2-xl", {"gpus": 3}),
            ("train-old", "train-old", {"nodes": 1}),
        ],
    )
    def test_it_goes_by_its_model_and_asked_for_one_gpu_a_rank(
        self, jobs: dict[str, Any], job: str, name: str, size: dict[str, int]
    ) -> None:
        asked = jobs[job]["spec"]
        assert jobs[job]["name"] == asked["name"] == name
        assert {key: asked[key] for key in ("nodes", "gpus_per_node", "gpus") if asked[key]} == size

    def test_the_model_accepts_it_and_its_command_would_fail(self, cluster: Cluster, report: Report) -> None:
        for document in cluster.view().jobs:
            assert JobSpec.model_validate(document["spec"]).command[0] == "false"
            assert cluster.job(document["id"]).ended_at is not None, "a job that has ended says when"

    def test_all_that_the_file_said_of_a_job_is_kept_but_its_secrets(self, cluster: Cluster, report: Report) -> None:
        written = content(UGRO)
        written["jobs"]["train-20261120-1800"]["env"]["WANDB_API_KEY"] = SECRET
        written["cluster"]["dashboard_token"] = SECRET
        for name, fields in written["jobs"].items():
            assert said(cluster, "job", name) == fields
        assert said(cluster, "file", "cluster_state") == {"version": 3, "cluster": written["cluster"]}
        assert (
            "what looks like a secret is not kept, only its name: "
            "cluster.dashboard_token, jobs.train-20261120-1800.env.WANDB_API_KEY" in report.remarks
        )

    def test_no_secret_reaches_the_disk(self, cluster: Cluster, report: Report, tmp_path: Path) -> None:
        text = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
        assert b"final_loss" in text
        assert b"w4ndb" not in text
        assert b"d4shb0ard" not in text


def test_an_empty_cluster_is_nothing_to_import(cluster: Cluster) -> None:
    report = cluster.import_state("ugro", json.dumps({"nodes": {}, "jobs": {}}))
    assert (report.counts, report.changed, cluster.store.read().serial) == ({}, False, 0)
