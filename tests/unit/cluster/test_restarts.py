# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that may be started again: on a new epoch, on other nodes if nodes were the cause, and not too often."""

from __future__ import annotations

from typing import Any

import pytest
from muster.cluster import Cluster, Outcome
from muster.model import InvalidTransition, Job, NoCapacity, StaleEpoch

from tests.unit.cluster.test_life_of_a_job import epoch, started
from tests.unit.samples import Clock, spec

ALL = ["n1", "n2", "n3"]
FAILURE = {"rank": 0, "node": "n1", "cause": "rank", "reason": "exit code 3"}


def failed(cluster: Cluster, job: Job, state: Any = "FAILED", reason: str = "exit code 3", **more: Any) -> Job:
    return cluster.finish(job.id, epoch(job), Outcome(state, reason, **more), cleared=ALL)


def again(cluster: Cluster, job: Job) -> Job:
    job, _plan = cluster.allocate(job.id)
    cluster.starting(job.id, epoch(job))
    return cluster.running(job.id, epoch(job))


def test_a_job_is_started_again_as_often_as_it_may(cluster: Cluster, clock: Clock) -> None:
    job = started(cluster, nodes=2, max_restarts=2)
    first = job.started_at
    for number in (1, 2):
        clock.passes(60)
        job = failed(cluster, job, failure=FAILURE)
        assert (job.state, job.ended_at, job.awaits_restart) == ("QUEUED", None, True)
        assert job.reason == f"attempt {number} FAILED: exit code 3"
        assert cluster.leases() == []
        job = again(cluster, job)
        assert (job.restarts, job.attempt.number, job.reason) == (number, number + 1, "")
    job = failed(cluster, job)
    assert (job.state, job.reason, job.restarts) == ("FAILED", "exit code 3", 2)
    assert [(one.state, one.reason) for one in job.attempts] == [("FAILED", "exit code 3")] * 3
    epochs = [one.epoch for one in job.attempts]
    assert epochs == sorted(set(epochs))
    assert (job.attempts[0].failure, job.attempts[2].failure) == (FAILURE, None)
    assert job.started_at == first
    assert cluster.view().violations == []


@pytest.mark.parametrize(
    "end",
    [
        Outcome("SUCCEEDED"),
        Outcome("CANCELED", "alice said so"),
        Outcome("FAILED", "the time limit of 5 s reached", {"cause": "time_limit"}),
    ],
    ids=["succeeded", "canceled", "time limit"],
)
def test_what_would_be_no_better_again_is_not_started_again(cluster: Cluster, end: Outcome) -> None:
    job = started(cluster, nodes=1, max_restarts=5)
    assert cluster.finish(job.id, epoch(job), end, cleared=ALL).state == end.state


def test_a_start_that_failed_is_no_attempt_that_ran(cluster: Cluster) -> None:
    job, _plan = cluster.allocate(spec(nodes=1, max_restarts=5))
    cluster.starting(job.id, epoch(job))
    assert failed(cluster, job).state == "FAILED"


def test_the_node_at_fault_is_left_out_as_long_as_there_are_others(cluster: Cluster) -> None:
    job = started(cluster, nodes=1, max_restarts=3)
    used = [job.attempt.plan["nodes"][0]["node"]]
    for _time in range(2):
        job = again(cluster, failed(cluster, job, "LOST", "it is gone", blamed=(used[-1],)))
        used.append(job.attempt.plan["nodes"][0]["node"])
    assert sorted(used) == ALL
    assert [one.blamed for one in job.attempts] == [[used[0]], [used[1]], []]


def test_a_node_at_fault_is_better_than_none(cluster: Cluster) -> None:
    job = started(cluster, nodes=3, max_restarts=1)
    job = again(cluster, failed(cluster, job, "LOST", "n2 has rebooted", blamed=("n2",)))
    assert [part["node"] for part in job.attempt.plan["nodes"]] == ALL


def test_a_restart_that_its_nodes_refuse_still_waits_and_may_be_given_up(cluster: Cluster) -> None:
    job = failed(cluster, started(cluster, nodes=1, max_restarts=1), "LOST", "n1 is gone")
    job, _plan = cluster.allocate(job.id)
    cluster.withdraw(job.id, epoch(job), reason="/data does not exist")
    job = cluster.job(job.id)
    assert (job.awaits_restart, job.reason, cluster.leases()) == (True, "attempt 1 LOST: n1 is gone", [])
    assert (job.attempt.state, job.attempt.reason) == ("FAILED", "not started: /data does not exist")
    job = cluster.give_up(job.id, "its nodes refuse it")
    assert (job.state, job.reason) == ("LOST", "n1 is gone; not restarted: its nodes refuse it")
    assert job.ended_at is not None
    with pytest.raises(InvalidTransition, match="is LOST and does not wait for a restart"):
        cluster.give_up(job.id, "again")


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        (Outcome("CANCELED", "n2: n1: alice said so"), "alice said so"),
        (Outcome("LOST", "lost n2: no route to it"), "alice said so; lost n2: no route to it"),
    ],
)
def test_why_a_job_was_to_end_is_told_whoever_hears_of_its_end_first(
    cluster: Cluster, heard: Outcome, told: str
) -> None:
    job = started(cluster, nodes=2, max_restarts=1)
    cluster.unwanted(job.id, "alice said so")
    ended = failed(cluster, job, heard.state, heard.reason)
    assert (ended.state, ended.reason) == ("CANCELED", told)


def test_a_job_that_was_given_up_is_not_started_again_when_its_node_tells_the_truth(cluster: Cluster) -> None:
    job = started(cluster, nodes=1, max_restarts=1)
    (node,) = [part["node"] for part in job.attempt.plan["nodes"]]
    stale = epoch(job)
    cluster.finish(job.id, stale, Outcome("LOST", f"lost {node}"), doubtful={node: "no answer"})
    cluster.give_up(job.id, "there is no other node")
    job = cluster.finish(job.id, stale, Outcome("FAILED", "exit code 3", FAILURE), cleared=[node])
    assert (job.state, job.reason, job.restarts) == ("FAILED", "exit code 3", 0)


def test_a_restart_that_nobody_starts_in_time_waits_again(cluster: Cluster, clock: Clock) -> None:
    job = failed(cluster, started(cluster, nodes=1, max_restarts=1))
    cluster.allocate(job.id)
    clock.passes(601)
    cluster.lapse()
    assert [one.id for one in cluster.awaiting_restart()] == [job.id]
    assert again(cluster, job).restarts == 1


def test_what_waits_for_its_first_start_waits_for_no_restart(cluster: Cluster, clock: Clock) -> None:
    cluster.submit(spec(nodes=1, max_restarts=1))
    cluster.allocate(spec(nodes=1, max_restarts=1))
    clock.passes(601)
    (late,) = cluster.lapse()
    assert (late.state, cluster.awaiting_restart()) == ("QUEUED", [])


def test_a_job_that_waits_for_its_restart_can_be_canceled_and_what_it_held_stays_held(cluster: Cluster) -> None:
    job = started(cluster, nodes=3, max_restarts=1)
    job = cluster.finish(job.id, epoch(job), Outcome("LOST", "n3"), cleared=ALL[:2], doubtful={"n3": "no answer"})
    canceled = cluster.cancel(job.id, reason="alice said so")
    assert (canceled.state, canceled.reason, canceled.attempt.state) == ("CANCELED", "alice said so", "LOST")
    assert [lease.node for lease in cluster.leases()] == ["n3"]
    assert cluster.view().violations == []


def test_an_attempt_that_is_behind_has_nothing_to_say_and_gives_back_only_what_is_its_own(cluster: Cluster) -> None:
    job = started(cluster, nodes=1, max_restarts=1)
    (old,) = [part["node"] for part in job.attempt.plan["nodes"]]
    stale = epoch(job)
    lost = Outcome("LOST", f"lost {old}", blamed=(old,))
    job = again(cluster, cluster.finish(job.id, stale, lost, cleared=[], doubtful={old: "no answer"}))
    with pytest.raises(StaleEpoch):
        cluster.finish(job.id, stale, Outcome("SUCCEEDED"), cleared=[old])
    assert sorted(lease.attempt for lease in cluster.leases(job.id)) == [1, 2]
    after = cluster.give_back(job.id, 1, cleared=[old], said={old: "had succeeded"})
    assert (after.state, after.attempts[0].state, after.attempts[0].late) == ("RUNNING", "LOST", {old: "had succeeded"})
    assert [lease.attempt for lease in cluster.leases(job.id)] == [2]
    assert list(cluster.history(job=job.id))[-1]["why"] == (
        f"give back leases of attempt 1 of {job.id}: {old} had succeeded"
    )


def test_nobody_ends_a_job_that_waits_but_who_cancels_it_or_gives_it_up(cluster: Cluster) -> None:
    """Whoever follows it may come too late, with the right epoch."""
    job = failed(cluster, started(cluster, nodes=1, max_restarts=1))
    with pytest.raises(InvalidTransition, match="is QUEUED and cannot become FAILED: nothing of it is going on"):
        failed(cluster, job)


def test_two_that_would_restart_it_get_one_attempt(cluster: Cluster) -> None:
    job = failed(cluster, started(cluster, nodes=1, max_restarts=1))
    cluster.allocate(job.id)
    with pytest.raises(InvalidTransition, match="is ALLOCATED and cannot become ALLOCATED"):
        cluster.allocate(job.id)


def test_a_restart_without_nodes_says_so_and_still_waits(cluster: Cluster) -> None:
    job = failed(cluster, started(cluster, nodes=3, max_restarts=1))
    cluster.drain(["n2"], reason="a fan is broken")
    with pytest.raises(NoCapacity, match="3 whole nodes"):
        cluster.allocate(job.id)
    assert cluster.job(job.id) == job


def test_a_launch_follows_a_job_as_long_as_it_says_so(cluster: Cluster, clock: Clock) -> None:
    job = started(cluster, nodes=1, max_restarts=1)
    seen = {row["name"]: row["last_seen"] for row in cluster.view().nodes}
    assert not cluster.attended(job.id)
    cluster.attend(job.id)
    assert {row["name"]: row["last_seen"] for row in cluster.view().nodes} == seen, "it is no node"
    clock.passes(59)
    assert cluster.attended(job.id)
    for jump in (2, -3600):
        clock.passes(jump)
        assert not cluster.attended(job.id)
    cluster.attend(job.id)
    cluster.leave(job.id)
    cluster.leave(job.id)
    assert not cluster.attended(job.id)


def test_a_node_is_offered_again_when_it_has_given_back_all_that_it_could_not(cluster: Cluster) -> None:
    """Both attempts were on n1, which has room for two."""
    cluster.drain(["n2", "n3"], reason="a fan is broken")
    job = started(cluster, slots=1, max_restarts=1)
    for number in (1, 2):
        job = cluster.finish(job.id, epoch(job), Outcome("LOST", "lost n1"), doubtful={"n1": "no answer"})
        assert cluster.nodes()["n1"].admin.state == "drained"
        if number == 1:
            cluster.resume(["n1"])
            job = again(cluster, job)
    for number, state in ((2, "drained"), (1, "enabled")):
        cluster.give_back(job.id, number, cleared=["n1"])
        assert cluster.nodes()["n1"].admin.state == state
    assert cluster.view().violations == []
