# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job from its submission to its last lease, as the state tells it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster, Outcome
from muster.model import (
    InvalidInput,
    InvalidTransition,
    Job,
    NoCapacity,
    NotFound,
    StaleEpoch,
    iso,
)
from muster.store import DirectoryStore

from tests.unit.samples import NOON, Clock, facts, spec


def epoch(job: Job) -> int:
    assert job.attempt is not None
    return job.attempt.epoch


def started(cluster: Cluster, **asked: Any) -> Job:
    job, _plan = cluster.allocate(spec(**(asked or {"nodes": 3})))
    cluster.starting(job.id, epoch(job))
    return cluster.running(job.id, epoch(job))


def statuses(cluster: Cluster) -> dict[str, str]:
    return {node["name"]: node["status"] for node in cluster.view().nodes}


def test_a_job_that_goes_well_leaves_every_node_free(cluster: Cluster, clock: Clock) -> None:
    job, plan = cluster.allocate(spec(nodes=3))
    assert job.state == "ALLOCATED"
    assert [(part.node, part.ranks) for part in plan.nodes] == [("n1", (0, 1)), ("n2", (2,)), ("n3", (3,))]
    assert statuses(cluster) == {"n1": "allocated", "n2": "allocated", "n3": "allocated"}
    assert [lease.port for lease in cluster.leases(job.id)] == [plan.master_port, None, None]

    clock.passes(1)
    assert cluster.starting(job.id, epoch(job)).state == "STARTING"
    clock.passes(1)
    assert cluster.running(job.id, epoch(job)).started_at == "2026-11-23T12:00:02.000000Z"
    clock.passes(60)
    job = cluster.finish(job.id, epoch(job), Outcome("SUCCEEDED"), cleared=["n1", "n2", "n3"])
    assert (job.state, job.ended_at) == ("SUCCEEDED", "2026-11-23T12:01:02.000000Z")
    assert cluster.leases() == []
    assert statuses(cluster) == {"n1": "idle", "n2": "idle", "n3": "idle"}
    assert job.attempt is not None
    assert (job.attempt.state, job.attempt.plan["world_size"]) == ("SUCCEEDED", 4)


def test_each_step_is_one_transaction_however_many_nodes_there_are(tmp_path: Path) -> None:
    counts = []
    for size in (2, 50):
        store = DirectoryStore(tmp_path / str(size))
        cluster = Cluster(store, actor="alice")
        names = [f"n{i}" for i in range(size)]
        cluster.sync_nodes([facts(name, slots=1) for name in names])
        job = started(cluster, nodes=size)
        cluster.finish(job.id, epoch(job), Outcome("SUCCEEDED"), cleared=names)
        counts.append(store.transactions)
    assert counts == [5, 5], "sync, allocate, starting, running, finish"


def test_a_failure_is_kept_with_the_job(cluster: Cluster) -> None:
    job = started(cluster)
    failure = {"rank": 2, "node": "n2", "exit_code": 3, "tail": ["boom"]}
    cluster.finish(job.id, epoch(job), Outcome("FAILED", "exit code 3", failure), cleared=["n1", "n2", "n3"])
    (seen,) = cluster.view().jobs
    assert (seen["state"], seen["reason"], seen["failure"]) == ("FAILED", "exit code 3", failure)


def test_who_speaks_for_an_attempt_that_is_over_is_refused(cluster: Cluster) -> None:
    job, _plan = cluster.allocate(spec(nodes=1))
    stale = epoch(job) - 1
    attempts: list[Callable[[], object]] = [
        lambda: cluster.starting(job.id, stale),
        lambda: cluster.running(job.id, stale),
        lambda: cluster.finish(job.id, stale, Outcome("FAILED")),
        lambda: cluster.withdraw(job.id, stale),
    ]
    before = cluster.view()
    for attempt in attempts:
        with pytest.raises(StaleEpoch, match=f"job {job.id} is at epoch 1; epoch 0 has nothing to say any more"):
            attempt()
    assert cluster.view().serial == before.serial


def test_epochs_only_rise_also_over_launches_that_were_withdrawn(cluster: Cluster) -> None:
    epochs = []
    for _time in range(3):
        job, _plan = cluster.allocate(spec(nodes=1))
        epochs.append(epoch(job))
        cluster.withdraw(job.id, epoch(job))
    assert epochs == [1, 2, 3]


def test_ports_of_jobs_that_run_together_differ(cluster: Cluster) -> None:
    ports = [cluster.allocate(spec(slots=1))[1].master_port for _ in range(4)]
    assert len(set(ports)) == 4


def test_a_withdrawn_launch_leaves_no_job_and_no_lease(cluster: Cluster) -> None:
    job, _plan = cluster.allocate(spec(nodes=3))
    cluster.starting(job.id, epoch(job))
    cluster.withdraw(job.id, epoch(job))
    assert cluster.view().jobs == []
    assert cluster.leases() == []


def test_what_runs_cannot_be_withdrawn(cluster: Cluster) -> None:
    job = started(cluster)
    with pytest.raises(InvalidInput, match=f"job {job.id} is RUNNING: only a launch that has not started"):
        cluster.withdraw(job.id, epoch(job))


def test_a_job_that_does_not_fit_leaves_nothing_behind(cluster: Cluster) -> None:
    before = cluster.view().serial
    with pytest.raises(NoCapacity, match="more than the cluster has"):
        cluster.allocate(spec(nodes=4))
    assert (cluster.view().jobs, cluster.view().serial) == ([], before)


def test_a_job_waits_in_the_queue_until_there_is_room(cluster: Cluster) -> None:
    first = started(cluster, nodes=3)
    queued = cluster.submit(spec(nodes=1, name="later"))
    assert (queued.state, queued.submitted_by) == ("QUEUED", "alice")
    with pytest.raises(NoCapacity, match=rf"held by ring \({first.id}\)") as refusal:
        cluster.allocate(queued.id)
    assert not refusal.value.permanent
    cluster.finish(first.id, epoch(first), Outcome("SUCCEEDED"), cleared=["n1", "n2", "n3"])
    job, _plan = cluster.allocate(queued.id)
    assert (job.id, job.state) == (queued.id, "ALLOCATED")


@pytest.mark.parametrize("state", ["ALLOCATED", "RUNNING"])
def test_a_job_that_has_nodes_is_not_given_others(cluster: Cluster, state: str) -> None:
    job = started(cluster) if state == "RUNNING" else cluster.allocate(spec(nodes=3))[0]
    with pytest.raises(InvalidTransition, match=f"job {job.id} is {state} and cannot become ALLOCATED"):
        cluster.allocate(job.id)


class TestWithin:
    def test_only_the_nodes_named_are_used(self, cluster: Cluster) -> None:
        _job, plan = cluster.allocate(spec(nodes=1), within=["n3"])
        assert [part.node for part in plan.nodes] == ["n3"]
        with pytest.raises(NoCapacity, match="1 of 2 are free"):
            cluster.allocate(spec(nodes=2), within=["n2", "n3"])

    def test_a_node_that_is_not_there_is_named(self, cluster: Cluster) -> None:
        with pytest.raises(NotFound, match=r"node n22 is not in the state \(did you mean n2\?\)"):
            cluster.allocate(spec(nodes=1), within=["n1", "n22"])

    def test_no_node_at_all_is_said(self, cluster: Cluster) -> None:
        with pytest.raises(InvalidInput, match="there is no node to place a job on"):
            cluster.allocate(spec(nodes=1), within=[])


class TestLapse:
    """An allocation whose start never came, since whoever made it died."""

    def test_after_ten_minutes_its_nodes_go_to_the_next_who_asks(self, cluster: Cluster, clock: Clock) -> None:
        dead, _plan = cluster.allocate(spec(nodes=3))
        clock.passes(600)
        with pytest.raises(NoCapacity):
            cluster.allocate(spec(nodes=1))
        clock.passes(0.001)
        cluster.allocate(spec(nodes=1, name="next"))
        job = cluster.job(dead.id)
        assert (job.state, job.reason) == ("QUEUED", "not started within 600 s")
        assert job.attempt is not None
        assert (job.attempt.state, job.attempt.ended_at) == ("LOST", "2026-11-23T12:10:00.001000Z")
        assert cluster.leases(dead.id) == []

    def test_its_late_start_is_refused_and_it_can_be_allocated_again(self, cluster: Cluster, clock: Clock) -> None:
        dead, _plan = cluster.allocate(spec(nodes=3))
        clock.passes(601)
        again, _plan = cluster.allocate(dead.id)
        assert [attempt.state for attempt in again.attempts] == ["LOST", "ALLOCATED"]
        with pytest.raises(StaleEpoch):
            cluster.starting(dead.id, epoch(dead))

    def test_a_late_start_is_taken_as_long_as_nobody_else_asked(self, cluster: Cluster, clock: Clock) -> None:
        job, _plan = cluster.allocate(spec(nodes=3))
        clock.passes(601)
        assert cluster.starting(job.id, epoch(job)).state == "STARTING"

    def test_what_has_started_never_lapses(self, cluster: Cluster, clock: Clock) -> None:
        job, _plan = cluster.allocate(spec(nodes=3))
        cluster.starting(job.id, epoch(job))
        clock.passes(10**6)
        with pytest.raises(NoCapacity):
            cluster.allocate(spec(nodes=1))
        assert cluster.job(job.id).state == "STARTING"

    def test_canceling_a_lapsed_job_leaves_the_story_of_its_attempt(self, cluster: Cluster, clock: Clock) -> None:
        dead, _plan = cluster.allocate(spec(nodes=3))
        clock.passes(601)
        cluster.allocate(spec(nodes=1))
        job, _leases = cluster.release(dead.id, cleared=[], reason="no longer wanted")
        assert (job.state, job.reason) == ("CANCELED", "no longer wanted")
        assert job.attempt is not None
        assert (job.attempt.state, job.attempt.reason) == ("LOST", "not started within 600 s")


class TestRelease:
    def test_a_running_job_is_canceled_and_its_cleared_nodes_are_free(self, cluster: Cluster) -> None:
        job = started(cluster)
        ended, given = cluster.release(job.id, cleared=["n1", "n2", "n3"], reason="alice said so")
        assert (ended.state, ended.reason) == ("CANCELED", "alice said so")
        assert [lease.node for lease in given] == ["n1", "n2", "n3"]
        assert statuses(cluster) == {"n1": "idle", "n2": "idle", "n3": "idle"}

    def test_a_doubtful_node_keeps_its_lease_and_is_drained_with_the_reason(self, cluster: Cluster) -> None:
        job = started(cluster)
        cluster.finish(
            job.id, epoch(job), Outcome("FAILED", "exit code 1"), cleared=["n1", "n2"], doubtful={"n3": "no answer"}
        )
        assert [lease.node for lease in cluster.leases(job.id)] == ["n3"]
        node = cluster.nodes()["n3"]
        assert (node.admin.state, node.admin.by) == ("drained", "alice")
        assert node.admin.reason == f"job {job.id}: no answer"
        assert statuses(cluster) == {"n1": "idle", "n2": "idle", "n3": "drained"}
        assert cluster.view().jobs[0]["leased"] == ["n3"]

    def test_a_doubtful_node_of_a_job_that_never_started_does_not_lapse(self, cluster: Cluster, clock: Clock) -> None:
        job, _plan = cluster.allocate(spec(nodes=3))
        cluster.release(job.id, cleared=["n1", "n2"], doubtful={"n3": "no answer"})
        clock.passes(601)
        cluster.allocate(spec(nodes=1))
        assert [lease.node for lease in cluster.leases(job.id)] == ["n3"]

    def test_the_rest_is_given_back_once_the_node_has_said_so(self, cluster: Cluster) -> None:
        job = started(cluster)
        cluster.finish(job.id, epoch(job), Outcome("LOST", "n3 is gone"), cleared=["n1", "n2"], doubtful={"n3": "gone"})
        ended, given = cluster.release(job.id, cleared=["n3"])
        assert (ended.state, ended.reason) == ("LOST", "n3 is gone"), "a job that has ended is not canceled"
        assert [lease.node for lease in given] == ["n3"]
        cluster.resume(["n3"])
        assert statuses(cluster)["n3"] == "idle"

    def test_releasing_twice_changes_nothing(self, cluster: Cluster) -> None:
        job = started(cluster)
        cluster.release(job.id, cleared=["n1", "n2", "n3"])
        serial = cluster.view().serial
        _job, given = cluster.release(job.id, cleared=["n1", "n2", "n3"])
        assert (given, cluster.view().serial) == ([], serial)

    def test_a_queued_job_is_simply_canceled(self, cluster: Cluster) -> None:
        job = cluster.submit(spec(nodes=1))
        assert cluster.release(job.id, cleared=[])[0].state == "CANCELED"


class TestCancel:
    def test_a_job_that_waits_is_canceled(self, cluster: Cluster) -> None:
        job = cluster.submit(spec(nodes=1))
        assert cluster.cancel(job.id, reason="alice said so").state == "CANCELED"

    def test_an_allocation_is_given_back_by_who_made_it(self, cluster: Cluster) -> None:
        job, _plan = cluster.allocate(spec(nodes=3))
        assert cluster.cancel(job.id, reason="the play died", epoch=epoch(job)).state == "CANCELED"
        assert statuses(cluster) == {"n1": "idle", "n2": "idle", "n3": "idle"}

    @pytest.mark.parametrize("off", [None, 1])
    def test_an_allocation_of_another_epoch_is_left_alone(self, cluster: Cluster, off: int | None) -> None:
        job, _plan = cluster.allocate(spec(nodes=3))
        other = None if off is None else epoch(job) + off
        serial = cluster.view().serial
        assert cluster.cancel(job.id, reason="x", epoch=other).state == "ALLOCATED"
        assert cluster.view().serial == serial

    def test_what_runs_is_left_alone(self, cluster: Cluster) -> None:
        job = started(cluster)
        assert cluster.cancel(job.id, reason="x", epoch=epoch(job)).state == "RUNNING"
        assert len(cluster.leases(job.id)) == 3


def test_a_lost_job_whose_node_came_back_runs_on_as_if_nothing_had_been(cluster: Cluster, clock: Clock) -> None:
    job = started(cluster)
    clock.passes(5)
    cluster.finish(job.id, epoch(job), Outcome("LOST", "n3 is gone"), doubtful={"n3": "gone"})
    back = cluster.running(job.id, epoch(job))
    assert (back.state, back.started_at, back.ended_at, back.reason) == ("RUNNING", iso(NOON), None, "")


def test_a_job_is_found_by_its_id_or_the_latest_by_its_name(cluster: Cluster, clock: Clock) -> None:
    jobs = []
    for _time in range(3):
        jobs.append(cluster.submit(spec(nodes=1)))
        clock.passes(1)
    cluster.submit(spec(nodes=1, name="other"))
    assert cluster.job(jobs[0].id) == jobs[0]
    assert cluster.job("ring") == jobs[2]
    assert cluster.view().job("ring")["id"] == jobs[2].id
    for find in (cluster.job, cluster.view().job):
        with pytest.raises(NotFound, match=r"there is no job rung \(did you mean ring\?\)"):
            find("rung")
        with pytest.raises(NotFound, match=r"there is no job xyz \(muster jobs lists them\)"):
            find("xyz")
