# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same file again, another file of the same names, and an import that is only tried."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster
from muster.model import InvalidInput
from muster.store import DirectoryStore

from tests.unit.cluster.importing import (
    AI_HOW,
    AI_HOW_2,
    EXPERIMENTS,
    KIND,
    UGRO,
    cluster_at,
    content,
    documents,
    everything,
    said,
)
from tests.unit.samples import Clock, facts

RUNNING = "train-20261123-0900"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(tmp_path: Path, clock: Clock) -> Cluster:
    return cluster_at(tmp_path / "store", clock)


def files_of(place: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", [UGRO, AI_HOW, AI_HOW_2, EXPERIMENTS], ids=lambda path: path.stem)
class TestAnyFormat:
    def test_the_same_file_again_changes_nothing(self, cluster: Cluster, clock: Clock, path: Path) -> None:
        first = cluster.import_state(KIND[path], path, timezone="UTC")
        before = everything(cluster)
        clock.passes(3600)
        again = cluster.import_state(KIND[path], path, timezone="UTC")
        assert (everything(cluster), cluster.store.read().serial) == (before, 1)
        assert again.counts == {table: {"unchanged": counts["created"]} for table, counts in first.counts.items()}
        assert (again.changed, again.remarks) == (False, [])

    def test_it_does_not_even_with_force(self, cluster: Cluster, path: Path) -> None:
        cluster.import_state(KIND[path], path, timezone="UTC")
        assert not cluster.import_state(KIND[path], path, timezone="UTC", force=True).changed
        assert cluster.store.read().serial == 1

    def test_check_mode_says_the_same_and_writes_nothing(self, tmp_path: Path, path: Path) -> None:
        rehearsed = cluster_at(tmp_path / "store", dry_run=True).import_state(KIND[path], path, timezone="UTC")
        assert list(tmp_path.iterdir()) == []
        cluster = cluster_at(tmp_path / "store")
        assert cluster.import_state(KIND[path], path, timezone="UTC") == rehearsed
        before = files_of(tmp_path)
        assert not cluster_at(tmp_path / "store", dry_run=True).import_state(KIND[path], path, timezone="UTC").changed
        assert files_of(tmp_path) == before

    def test_a_new_process_finds_what_was_imported(self, cluster: Cluster, tmp_path: Path, path: Path) -> None:
        cluster.import_state(KIND[path], path, timezone="UTC")
        cluster.store.compact(who="alice")  # type: ignore[attr-defined]
        found = Cluster(DirectoryStore(tmp_path / "store"), actor="bob")
        assert everything(found) == everything(cluster)
        assert not found.import_state(KIND[path], path, timezone="UTC").changed


class TestWhatMusterHasLearntSince:
    def test_a_synced_and_resumed_node_stays_so(self, cluster: Cluster) -> None:
        cluster.import_state("ugro", UGRO)
        cluster.sync_nodes([facts("gpu2", gpu=2)])
        cluster.resume(["gpu2"])
        assert not cluster.import_state("ugro", UGRO).changed
        node = cluster.nodes()["gpu2"]
        assert (len(node.gpus), node.admin.state) == (2, "enabled")

    def test_a_job_that_was_archived_does_not_come_back(self, cluster: Cluster, clock: Clock) -> None:
        cluster.import_state("ugro", UGRO)
        clock.passes(86400)
        assert "train-20261120-1800" in cluster.archive(timedelta(hours=1))
        assert not cluster.import_state("ugro", UGRO).changed

    def test_a_node_that_was_removed_does(self, cluster: Cluster) -> None:
        cluster.import_state("ugro", UGRO)
        cluster.remove_nodes(["gpu1", "gpu3"])
        report = cluster.import_state("ugro", UGRO)
        assert report.counts["nodes"] == {"created": 2, "unchanged": 4}
        assert {"gpu1", "gpu3"} <= set(cluster.nodes())


class TestOtherThings:
    """A file that says other things by names that the state has."""

    def refused(self, cluster: Cluster, kind: str, file: Any, match: str, **options: Any) -> None:
        before = everything(cluster)
        with pytest.raises(InvalidInput, match=match):
            cluster.import_state(kind, json.dumps(file), **options)
        assert everything(cluster) == before, "all or nothing"

    def test_a_node_that_was_synced_before_is_refused(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("gpu1", gpu=1), facts("gpu2", gpu=1)])
        match = r"^the text: node gpu1, node gpu2 are in the state already, and not as this file says \(.*--force"
        self.refused(cluster, "ugro", content(UGRO), match)

    def test_forced_it_stays_as_muster_knows_it_with_what_was_said_beside_it(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("gpu1", gpu=1)])
        before = cluster.nodes()["gpu1"]
        report = cluster.import_state("ugro", UGRO, force=True)
        assert report.counts["nodes"] == {"created": 5, "kept": 1}
        assert "as Muster knows it, with what the file says kept beside it: node gpu1" in report.remarks
        assert cluster.nodes()["gpu1"] == before
        assert said(cluster, "node", "gpu1")["health_score"] == 97.5
        assert not cluster.import_state("ugro", UGRO).changed

    def test_forced_it_is_drained_where_a_job_of_the_others_runs(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("gpu2", gpu=1)])
        report = cluster.import_state("ugro", UGRO, force=True)
        node = cluster.nodes()["gpu2"]
        assert (len(node.gpus), node.admin.state) == (1, "drained")
        assert RUNNING in node.admin.reason
        assert report.counts["nodes"] == {"created": 5, "updated": 1}

    def test_forced_it_keeps_the_reason_for_which_people_drained_it(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("gpu2", gpu=1)])
        cluster.drain(["gpu2"], reason="fan broken")
        cluster.import_state("ugro", UGRO, force=True)
        assert cluster.nodes()["gpu2"].admin.reason == "fan broken"

    def test_a_drained_node_never_loses_its_gpus_to_a_later_file(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("gpu2", gpu=1)])
        cluster.import_state("ugro", UGRO, force=True)
        later = content(UGRO)
        later["nodes"]["gpu2"]["health_score"] = 12
        cluster.import_state("ugro", json.dumps(later), force=True)
        assert len(cluster.nodes()["gpu2"].gpus) == 1
        assert said(cluster, "node", "gpu2")["health_score"] == 12

    def test_a_later_file_is_refused_and_forced_it_says_how_the_job_ended(self, cluster: Cluster) -> None:
        cluster.import_state("ugro", UGRO)
        later = content(UGRO)
        later["jobs"][RUNNING] |= {"status": "completed", "completed_at": "2026-11-23T11:00:00Z"}
        self.refused(cluster, "ugro", later, rf"job {RUNNING} is in the state already, and not as this file says")
        report = cluster.import_state("ugro", json.dumps(later), force=True)
        assert report.counts["jobs"] == {"updated": 1, "unchanged": 4}
        assert cluster.job(RUNNING).state == "SUCCEEDED"

    def test_forced_a_job_that_muster_changed_since_stays(self, cluster: Cluster) -> None:
        cluster.import_state("ugro", UGRO)
        with cluster.store.transaction(who="bob", why="settle") as draft:
            draft.put("jobs", draft.get("jobs", RUNNING) | {"state": "FAILED", "reason": "seen by bob"})  # type: ignore[operator]
        later = content(UGRO)
        later["jobs"][RUNNING]["status"] = "completed"
        report = cluster.import_state("ugro", json.dumps(later), force=True)
        assert report.counts["jobs"] == {"kept": 1, "unchanged": 4}
        assert (cluster.job(RUNNING).state, cluster.job(RUNNING).reason) == ("FAILED", "seen by bob")

    def test_another_zone_is_another_reading(self, cluster: Cluster) -> None:
        cluster.import_state("ugro", UGRO, timezone="UTC")
        self.refused(cluster, "ugro", content(UGRO), f"job {RUNNING}, node gpu1 are in", timezone="Asia/Tokyo")
        cluster.import_state("ugro", UGRO, timezone="Asia/Tokyo", force=True)
        assert cluster.job(RUNNING).started_at == "2026-11-23T00:00:05.123456Z"

    @pytest.mark.parametrize(
        ("path", "change", "title"),
        [
            (AI_HOW, lambda file: file["vms"][1].update(state="SHUTOFF"), "virtual machine compute-01"),
            (AI_HOW, lambda file: file["networks"][0].update(bridge="br0"), "network hpc-lab-net"),
            (AI_HOW, lambda file: file["volumes"][1].update(note="x"), "volume scratch"),
            (AI_HOW, lambda file: file.update(status="stopped"), "virtual cluster hpc-lab"),
            (EXPERIMENTS, lambda file: file["tasks"]["exp2_alpha_0_42"].update(retry_count=1), "task exp2_alpha_0_42"),
            (
                EXPERIMENTS,
                lambda file: file["tasks"]["exp1_vary_width_2_42"]["config"].update(width_factor=2.0),
                "task exp1_vary_width_2_42",
            ),
            (EXPERIMENTS, lambda file: file.update(saved_by="hand"), "what was imported of the file manager_state"),
            (UGRO, lambda file: file.update(version=4), "what was imported of the file cluster_state"),
        ],
    )
    def test_of_any_kind(self, cluster: Cluster, path: Path, change: Any, title: str) -> None:
        cluster.import_state(KIND[path], path)
        later = content(path)
        change(later)
        self.refused(cluster, KIND[path], later, f"^the text: {title} is in the state already")
        report = cluster.import_state(KIND[path], json.dumps(later), force=True)
        assert sum(counts.get("updated", 0) for counts in report.counts.values()) == 1
        assert not cluster.import_state(KIND[path], json.dumps(later)).changed

    def test_many_of_them_are_not_all_named(self, cluster: Cluster) -> None:
        cluster.import_state("experiments", EXPERIMENTS, timezone="UTC")
        later = content(EXPERIMENTS)
        for number in range(9):
            later["tasks"][f"more{number}"] = {"status": "pending"}
        cluster.import_state("experiments", json.dumps(later), timezone="UTC")
        for task in later["tasks"].values():
            task["retry_count"] = 7
        del later["assigned_tasks"]
        self.refused(
            cluster, "experiments", later, r"task exp2_alpha_0_42 and 10 more are in the state", timezone="UTC"
        )

    def test_documents_of_the_users_own_in_such_a_table_are_let_be(self, cluster: Cluster) -> None:
        with cluster.store.transaction(who="me", why="note") as draft:
            draft.write("tasks", 1, {"title": "buy cables"})
        cluster.import_state("experiments", EXPERIMENTS)
        assert cluster.store.read().document("tasks", 1) == {"title": "buy cables"}
        assert len(cluster.store.read().all("tasks")) == 7
        assert len(documents_with_ids(cluster)) == 6


def documents_with_ids(cluster: Cluster) -> list[Any]:
    return [task for task in cluster.store.read().all("tasks") if "task_id" in task]


def test_a_contact_since_is_not_forgotten_for_an_older_one(cluster: Cluster) -> None:
    cluster.sync_nodes([facts("gpu1", gpu=1)])
    seen = cluster.view().nodes[0]["last_seen"]
    cluster.import_state("ugro", UGRO, force=True)
    assert documents(cluster, "nodes")["gpu1"]["reachability"]["ok"] is True
    assert cluster.view().node("gpu1")["last_seen"] == seen  # type: ignore[index]
