# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes as the state keeps them: synced, drained, resumed, removed, seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster, NodeChange, Outcome, node_documents
from muster.model import InUse, InvalidInput, NodeFacts, NotFound, iso
from muster.store import DirectoryStore

from tests.unit.samples import NOON, Clock, facts, gpus, spec


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(tmp_path: Path, clock: Clock) -> Cluster:
    return Cluster(DirectoryStore(tmp_path / "store"), actor="alice", clock=clock)


def actions(changes: list[NodeChange]) -> dict[str, str]:
    return {change.name: change.action for change in changes}


def status(cluster: Cluster, name: str) -> str:
    return next(node["status"] for node in cluster.view().nodes if node["name"] == name)


def drained(cluster: Cluster, name: str = "n1") -> tuple[str, str, str | None, str]:
    admin = cluster.nodes()[name].admin
    return admin.state, admin.by, admin.at, admin.reason


class TestSync:
    def test_a_new_node_is_there_reached_and_idle(self, cluster: Cluster) -> None:
        assert actions(cluster.sync_nodes([facts("n1", gpu=2)])) == {"n1": "created"}
        node = cluster.nodes()["n1"]
        assert (node.created_at, node.reachability.ok) == (iso(NOON), True)
        assert status(cluster, "n1") == "idle"

    def test_the_same_facts_again_change_nothing(self, cluster: Cluster, clock: Clock) -> None:
        cluster.sync_nodes([facts("n1", gpu=2, labels={"a": "b"})])
        serial = cluster.view().serial
        clock.passes(60)
        assert actions(cluster.sync_nodes([facts("n1", gpu=2, labels={"a": "b"})])) == {"n1": "unchanged"}
        assert cluster.view().serial == serial

    def test_what_was_discovered_anew_replaces_what_was_known(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1", gpu=4)])
        (change,) = cluster.sync_nodes([facts("n1", gpu=3, address="10.0.0.9")])
        assert change.action == "updated"
        assert change.before is not None
        assert change.after is not None
        assert (len(change.before["gpus"]), len(change.after["gpus"])) == (4, 3)
        assert cluster.nodes()["n1"].address == "10.0.0.9"

    def test_slots_are_the_cpus_unless_they_are_given(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1", cpus=16), facts("n2", cpus=16, slots=2), facts("n3", cpus=16, slots=0)])
        assert [node.slots for node in cluster.nodes().values()] == [16, 2, 0]

    def test_what_people_decided_about_a_node_survives_a_sync(self, cluster: Cluster, clock: Clock) -> None:
        cluster.sync_nodes([facts("n1", gpu=2)])
        cluster.drain(["n1"], reason="fan broken")
        clock.passes(60)
        cluster.sync_nodes([facts("n1", gpu=2, address="10.0.0.9")])
        assert drained(cluster) == ("drained", "alice", iso(NOON), "fan broken")
        assert cluster.nodes()["n1"].created_at == iso(NOON)

    def test_a_sync_is_a_contact(self, cluster: Cluster, clock: Clock) -> None:
        cluster.sync_nodes([facts("n1")])
        cluster.contacted([], {"n1": "no route"})
        clock.passes(60)
        cluster.sync_nodes([facts("n1")])
        assert status(cluster, "n1") == "idle"
        assert cluster.view().nodes[0]["last_seen"] == "2026-11-23T12:01:00.000000Z"

    def test_a_name_given_twice_is_refused(self, cluster: Cluster) -> None:
        with pytest.raises(InvalidInput, match="node n1 is given twice"):
            cluster.sync_nodes([facts("n1"), facts("n2"), facts("n1", gpu=1)])
        assert cluster.nodes() == {}

    def test_a_gpu_that_two_nodes_claim_is_refused(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1", gpu=2)])
        with pytest.raises(InvalidInput, match="nodes n1 and n2 both have GPU GPU-n1-1"):
            cluster.sync_nodes([facts("n2", gpus=gpus("n1", 2)[1:])])
        assert list(cluster.nodes()) == ["n1"]

    def test_a_gpu_that_moved_to_another_machine_is_taken(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1", gpu=2)])
        moved = gpus("n1", 2)
        cluster.sync_nodes([facts("n2", gpus=moved[1:]), facts("n1", gpus=moved[:1])])
        assert {name: len(node.gpus) for name, node in cluster.nodes().items()} == {"n1": 1, "n2": 1}


class TestPurge:
    def test_nodes_that_left_the_inventory_are_forgotten(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1"), facts("n2"), facts("n3")])
        changes = cluster.sync_nodes([facts("n1")], keep=["n2"])
        assert actions(changes) == {"n1": "unchanged", "n3": "removed"}
        assert list(cluster.nodes()) == ["n1", "n2"]

    def test_a_node_with_a_lease_is_kept_and_said(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1"), facts("n2")])
        job, _plan = cluster.allocate(spec(nodes=1), within=["n2"])
        changes = cluster.sync_nodes([facts("n1")], keep=[])
        assert actions(changes) == {"n1": "unchanged", "n2": "kept"}
        assert changes[1].reason == f"node n2 holds a lease of job {job.id}"
        assert list(cluster.nodes()) == ["n1", "n2"]

    def test_removing_a_node_with_a_lease_by_name_is_refused(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1"), facts("n2")])
        job, _plan = cluster.allocate(spec(nodes=1), within=["n2"])
        with pytest.raises(InUse, match=rf"node n2 holds a lease of job {job.id} \(release the job first\)"):
            cluster.remove_nodes(["n1", "n2"])
        assert list(cluster.nodes()) == ["n1", "n2"]

    @pytest.mark.parametrize("restarts", [0, 1])
    def test_a_machine_that_is_gone_for_good_is_let_go_of_with_what_it_could_not_give_back(
        self, cluster: Cluster, restarts: int
    ) -> None:
        cluster.sync_nodes([facts("n1"), facts("n2"), facts("n3")])
        job, _plan = cluster.allocate(spec(nodes=1, max_restarts=restarts), within=["n2"])
        epoch = job.attempts[-1].epoch
        cluster.starting(job.id, epoch)
        cluster.running(job.id, epoch)
        lost = Outcome("LOST", "lost n2", blamed=("n2",))
        cluster.finish(job.id, epoch, lost, doubtful={"n2": "n2 does not answer"})
        if restarts:
            cluster.allocate(job.id, within=["n3"])
        assert actions(cluster.sync_nodes([facts("n1")], keep=["n3"])) == {"n1": "unchanged", "n2": "kept"}
        assert actions(cluster.remove_nodes(["n2"])) == {"n2": "removed"}
        assert [lease.node for lease in cluster.leases()] == (["n3"] if restarts else [])
        assert cluster.view().violations == []
        if restarts:
            with pytest.raises(InUse, match=f"node n3 holds a lease of job {job.id}"):
                cluster.remove_nodes(["n3"])

    def test_removing_what_is_not_there_changes_nothing(self, cluster: Cluster) -> None:
        assert actions(cluster.remove_nodes(["n9"])) == {"n9": "unchanged"}


class TestDrain:
    def test_a_drained_node_is_not_offered_and_says_who_when_and_why(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1")])
        assert actions(cluster.drain(["n1"], reason="fan broken")) == {"n1": "updated"}
        assert drained(cluster) == ("drained", "alice", iso(NOON), "fan broken")
        with pytest.raises(Exception, match=r"left out: n1 \(drained\)"):
            cluster.allocate(spec(nodes=1))

    def test_draining_again_for_the_same_reason_changes_nothing(self, cluster: Cluster, clock: Clock) -> None:
        cluster.sync_nodes([facts("n1")])
        cluster.drain(["n1"], reason="fan broken")
        clock.passes(60)
        assert actions(cluster.drain(["n1"], reason="fan broken")) == {"n1": "unchanged"}
        assert drained(cluster)[2] == iso(NOON)

    def test_a_node_that_may_finish_its_work_is_draining_until_then(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1")])
        job, _plan = cluster.allocate(spec(slots=1))
        cluster.drain(["n1"], reason="upgrade", wait=True)
        assert status(cluster, "n1") == "draining"
        cluster.release(job.id, cleared=["n1"])
        assert status(cluster, "n1") == "drained"

    def test_a_resumed_node_is_offered_again(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1")])
        cluster.drain(["n1"], reason="fan broken")
        assert actions(cluster.resume(["n1"])) == {"n1": "updated"}
        assert actions(cluster.resume(["n1"])) == {"n1": "unchanged"}
        cluster.allocate(spec(nodes=1))

    def test_an_unknown_node_is_refused_with_the_nearest_name(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("gpu1"), facts("gpu2")])
        with pytest.raises(NotFound, match=r"node gpu3 is not in the state \(did you mean gpu"):
            cluster.drain(["gpu1", "gpu3"], reason="x")
        with pytest.raises(NotFound, match=r"node x is not in the state \(run sync.yml first\)"):
            cluster.resume(["x"])
        assert status(cluster, "gpu1") == "idle", "all or nothing"


class TestContacts:
    def test_a_node_that_does_not_answer_is_unreachable_and_says_why(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1"), facts("n2")])
        cluster.contacted(["n1"], {"n2": "no route to host"})
        reachability = cluster.nodes()["n2"].reachability
        assert (reachability.ok, reachability.reason) == (False, "no route to host")
        assert status(cluster, "n2") == "unreachable"

    def test_being_seen_again_is_noted_without_a_transaction(self, cluster: Cluster, clock: Clock) -> None:
        cluster.sync_nodes([facts("n1")])
        serial = cluster.view().serial
        clock.passes(30)
        cluster.contacted(["n1", "stranger"])
        (node,) = cluster.view().nodes
        assert (node["last_seen"], cluster.view().serial) == ("2026-11-23T12:00:30.000000Z", serial)

    def test_a_contact_told_later_counts_from_when_it_was(self, cluster: Cluster, clock: Clock) -> None:
        cluster.sync_nodes([facts("n1")])
        clock.passes(3600)
        cluster.contacted({"n1": "2026-11-23T12:05:00.000000Z"})
        assert cluster.view().nodes[0]["last_seen"] == "2026-11-23T12:05:00.000000Z"

    def test_only_the_first_failure_in_a_row_is_a_transaction(self, cluster: Cluster) -> None:
        cluster.sync_nodes([facts("n1")])
        cluster.contacted([], {"n1": "no route"})
        serial = cluster.view().serial
        cluster.contacted([], {"n1": "still no route"})
        assert cluster.view().serial == serial
        cluster.contacted(["n1"])
        assert status(cluster, "n1") == "idle"

    def test_a_stranger_is_not_made_a_node(self, cluster: Cluster) -> None:
        cluster.contacted(["stranger"], {"other": "no route"})
        assert cluster.view().nodes == []


class TestCheckMode:
    """The same answers, and not a byte written."""

    def test_every_method_decides_and_none_writes(self, tmp_path: Path, clock: Clock) -> None:
        real = Cluster(DirectoryStore(tmp_path / "store"), actor="alice", clock=clock)
        real.sync_nodes([facts("n1"), facts("n2")])
        running, _plan = real.allocate(spec(nodes=1))
        queued = real.submit(spec(nodes=1))
        assert running.attempt is not None
        epoch = running.attempt.epoch

        def content() -> dict[str, tuple[bytes, int]]:
            files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
            return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

        before = content()
        rehearsed = Cluster(DirectoryStore(tmp_path / "store"), actor="alice", dry_run=True, clock=clock)
        clock.passes(700)
        assert actions(rehearsed.sync_nodes([facts("n1", gpu=1), facts("n3")], keep=[])) == {
            "n1": "updated",
            "n3": "created",
            "n2": "removed",
        }
        assert actions(rehearsed.drain(["n1"], reason="x")) == {"n1": "updated"}
        assert actions(rehearsed.resume(["n1"])) == {"n1": "unchanged"}
        assert actions(rehearsed.remove_nodes(["n2"])) == {"n2": "removed"}
        rehearsed.contacted(["n1"], {"n2": "no route"})
        assert rehearsed.submit(spec(nodes=1)).state == "QUEUED"
        assert rehearsed.allocate(spec(nodes=1))[0].state == "ALLOCATED"
        assert rehearsed.allocate(queued.id)[0].state == "ALLOCATED"
        assert rehearsed.starting(running.id, epoch).state == "STARTING"
        assert rehearsed.release(running.id, cleared=["n1"])[0].state == "CANCELED"
        rehearsed.withdraw(running.id, epoch)
        assert content() == before
        assert rehearsed.store.transactions == 0

    def test_a_store_that_is_not_there_yet_is_not_made(self, tmp_path: Path) -> None:
        rehearsed = Cluster(DirectoryStore(tmp_path / "store"), actor="alice", dry_run=True)
        assert actions(rehearsed.sync_nodes([facts("n1")])) == {"n1": "created"}
        assert list(tmp_path.iterdir()) == []


def test_a_diff_shows_only_nodes_that_change(cluster: Cluster) -> None:
    cluster.sync_nodes([facts("n1"), facts("n2")])
    changes = cluster.sync_nodes([facts("n1", address="10.0.0.9"), facts("n2"), facts("n3")])
    assert set(node_documents(changes, "before")) == {"n1", "n3"}
    after: dict[str, Any] = node_documents(changes, "after")
    assert after["n1"]["address"] == "10.0.0.9"


def test_the_view_shows_nodes_in_rank_order_with_all_that_is_derived(cluster: Cluster) -> None:
    rack = {"topology": "rack0"}
    cluster.sync_nodes(
        [facts("n10", slots=3), facts("n2", gpu=2), facts("n1", gpu=2), facts("z", slots=1, labels=rack)]
    )
    job, _plan = cluster.allocate(spec(gpus=1))
    nodes = cluster.view().nodes
    assert [node["name"] for node in nodes] == ["n1", "n2", "n10", "z"]
    assert {key: nodes[0][key] for key in ("status", "size", "free", "jobs", "gpu_model", "gpu_memory_mib")} == {
        "status": "mixed",
        "size": 2,
        "free": 1,
        "jobs": [job.id],
        "gpu_model": "NVIDIA H100 80GB HBM3",
        "gpu_memory_mib": 81559,
    }
    assert {key: nodes[2][key] for key in ("status", "size", "free", "gpu_model", "gpu_memory_mib")} == {
        "status": "idle",
        "size": 3,
        "free": 3,
        "gpu_model": "unknown",
        "gpu_memory_mib": 0,
    }
    assert cluster.view().counts() == {"mixed": 1, "idle": 3}
    assert NodeFacts.model_fields.keys() <= nodes[0].keys()
