# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery: whatever died, the state says afterwards what is true, and nothing runs that nobody owns."""

from __future__ import annotations

from datetime import timedelta

import pytest
from muster.cluster import Cluster, Outcome, open_cluster
from muster.gang import recover_gangs, settle_gangs, start_gang
from muster.model import utc_now

from .conftest import SLOTS, eventually, kill_supervisor, processes_of, spec

ALL = ("n1", "n2", "n3")


def running(cluster, nodes, script="exec sleep 600", **asked):
    job, _plan = cluster.allocate(spec(script, **asked))
    return start_gang(cluster, nodes.dial, job).job


def recover(cluster, nodes, **given):
    """What is found and done; whatever was found, a second look finds nothing to do."""
    recovered = recover_gangs(cluster, nodes.dial, ALL, **given)
    if not cluster.dry_run:
        serial = cluster.store.read().serial
        assert [one for one in recover_gangs(cluster, nodes.dial, ALL, **given).findings if one.done] == []
        assert cluster.store.read().serial == serial
        assert cluster.view().violations == []
    return recovered


def foreseeing(cluster):
    """The same cluster, of which nothing is written."""
    return Cluster(cluster.store, actor="test", dry_run=True)


def told(recovered):
    return [(one.nodes, one.found, one.done) for one in recovered.findings]


def test_where_nothing_was_launched_there_is_nothing_to_find(cluster, nodes):
    recovered = recover(cluster, nodes)
    assert (recovered.findings, recovered.unreachable, recovered.changed) == ([], {}, False)
    assert nodes.dialed[:3] == sorted(SLOTS), "and each node was asked once"


def test_what_runs_is_left_running_and_each_node_is_asked_once(cluster, nodes):
    job = running(cluster, nodes)
    nodes.dialed.clear()
    recovered = recover_gangs(cluster, nodes.dial, ALL)
    assert told(recovered) == [(ALL, "runs", "")]
    assert sorted(nodes.dialed) == sorted(SLOTS)
    assert cluster.job(job.id).state == "RUNNING"
    assert processes_of(job)


@pytest.mark.parametrize(
    ("script", "state", "reason"),
    [
        ("exit 0", "SUCCEEDED", ""),
        ("[ $RANK = 2 ] && exit 5; exec sleep 600", "FAILED", "rank 2 on n2 failed first: exit code 5"),
    ],
)
def test_a_job_that_ended_unwatched_gets_the_end_that_it_had(cluster, nodes, script, state, reason):
    job = running(cluster, nodes, script)
    over = ALL if state == "SUCCEEDED" else ("n2",)
    eventually(lambda: all(nodes.status(n, job)["state"] == state.lower() for n in over), "its part ends")
    foreseen = recover(foreseeing(cluster), nodes)
    assert foreseen.changed
    assert foreseen.findings[0].done.startswith(f"would be {state}")
    assert cluster.job(job.id).state == "RUNNING"
    recovered = recover(cluster, nodes)
    assert recovered.findings[0].done == f"is {state}, 3 of 3 leases given back"
    assert (cluster.job(job.id).state, cluster.job(job.id).reason) == (state, reason)
    assert (cluster.leases(), processes_of(job)) == ([], [])


def test_a_supervisor_that_is_gone_without_a_record_makes_the_job_lost(cluster, nodes):
    job = running(cluster, nodes)
    kill_supervisor(nodes, "n2", job)
    recover(cluster, nodes)
    assert cluster.job(job.id).state == "LOST"
    assert (cluster.leases(), processes_of(job)) == ([], [])


def test_a_node_that_does_not_answer_is_waited_for_and_then_given_up(cluster, nodes):
    job = running(cluster, nodes)
    nodes.cut = {"n2"}
    waiting = recover(cluster, nodes)
    assert list(waiting.unreachable) == ["n2"]
    (found,) = waiting.findings
    assert (found.found.startswith("runs, no word from n2 for "), found.done) == (True, "")
    assert not cluster.nodes()["n2"].reachability.ok
    given_up = recover(cluster, nodes, lost_after=timedelta(0))
    assert "n2 cannot say that nothing is left, and is drained" in given_up.findings[0].done
    assert cluster.job(job.id).state == "LOST"
    assert [lease.node for lease in cluster.leases()] == ["n2"]
    assert cluster.nodes()["n2"].admin.state == "drained", "it has heard from the others, but cannot tell us"
    eventually(lambda: processes_of(job) == [], "its ranks end all the same")
    nodes.cut.clear()
    recover(cluster, nodes)
    assert (cluster.leases(), processes_of(job)) == ([], [])
    assert cluster.job(job.id).state == "LOST"


@pytest.mark.parametrize(("script", "end"), [("exec sleep 600", "RUNNING"), ("sleep 1", "SUCCEEDED")])
def test_a_job_that_was_taken_for_lost_is_what_its_node_says_when_it_is_back(cluster, nodes, script, end):
    job = running(cluster, nodes, script, slots=1)
    (node,) = [part["node"] for part in job.attempt.plan["nodes"]]
    nodes.cut = {node}
    recover(cluster, nodes, lost_after=timedelta(0))
    assert cluster.job(job.id).state == "LOST"
    nodes.cut.clear()
    if end == "SUCCEEDED":
        eventually(lambda: nodes.status(node, job)["state"] == "succeeded", "it ends")
    recover(cluster, nodes)
    assert cluster.job(job.id).state == end
    assert bool(cluster.leases()) is (end == "RUNNING")


def test_what_the_state_has_forgotten_is_ended(cluster, nodes, tmp_path):
    job = running(cluster, nodes)
    with cluster.store.transaction(who="somebody", why="by hand") as draft:
        draft.remove("leases", [row["id"] for row in draft.all("leases")])
        draft.remove("jobs", [job.id])
    foreseen = recover(foreseeing(cluster), nodes)
    found = "attempt 1 (epoch 1) is alive, and holds no lease"
    assert told(foreseen) == [((name,), found, "would be stopped") for name in ALL]
    assert processes_of(job)
    assert [one.done for one in recover(cluster, nodes).findings] == ["stopped"] * 3
    assert processes_of(job) == []


def test_what_another_cluster_runs_on_the_nodes_is_left_alone(cluster, nodes, tmp_path):
    job = running(cluster, nodes)
    other = open_cluster(str(tmp_path / "other"), actor="test")
    assert recover(other, nodes).findings == []
    assert processes_of(job)


def test_leases_of_a_job_that_is_not_there_are_given_back(cluster, nodes):
    job = running(cluster, nodes)
    with cluster.store.transaction(who="somebody", why="by hand") as draft:
        draft.remove("jobs", [job.id])
    nodes.cut = {"n3"}
    assert settle_gangs(cluster, nodes.dial) == [], "whoever only settles leaves them alone"
    recovered = recover_gangs(cluster, nodes.dial, ALL)
    assert [one.done for one in recovered.findings] == ["its lease was given back"] * 2 + [""]
    nodes.cut.clear()
    assert [one.done for one in recover(cluster, nodes).findings] == ["its lease was given back"]
    assert (cluster.leases(), processes_of(job)) == ([], [])


def test_an_allocation_that_nobody_starts_is_waited_for_and_then_taken_back(cluster, nodes):
    job, _plan = cluster.allocate(spec())
    (found,) = recover(cluster, nodes).findings
    assert (found.found.startswith("waits for its start, until 20"), found.done) == (True, "")
    cluster.cancel(job.id, reason="the other one is meant", epoch=1)
    past = Cluster(cluster.store, actor="test", clock=lambda: utc_now() - timedelta(hours=1))
    late, _plan = past.allocate(spec())
    assert [one.done for one in recover(cluster, nodes).findings] == ["is QUEUED again, its leases given back"]
    assert (cluster.job(late.id).state, cluster.leases()) == ("QUEUED", [])


def test_a_launch_that_died_before_the_gate_opened_has_failed_once_it_is_certain(cluster, nodes):
    past = Cluster(cluster.store, actor="test", clock=lambda: utc_now() - timedelta(minutes=5))
    fresh, _plan = cluster.allocate(spec(slots=1))
    cluster.starting(fresh.id, 1)
    old, _plan = past.allocate(spec(slots=1))
    past.starting(old.id, 2)
    found = {one.job: (one.found, one.done) for one in recover(cluster, nodes).findings}
    assert found[fresh.id] == ("is being started", "")
    assert found[old.id] == ("its launch was interrupted", "is FAILED, 1 of 1 leases given back")
    cluster.finish(fresh.id, 1, Outcome("FAILED", "the test is over"), cleared=ALL)


def test_the_record_of_another_epoch_does_not_count(cluster, nodes):
    """As after a restore: the same attempt of the same job, launched anew."""
    job = running(cluster, nodes, "exit 0", slots=1)
    (node,) = [part["node"] for part in job.attempt.plan["nodes"]]
    eventually(lambda: nodes.status(node, job)["state"] == "succeeded", "it ends")
    with cluster.store.transaction(who="somebody", why="by hand") as draft:
        draft.next_epoch(5)
        (lease,) = draft.all("leases")
        row = draft.get("jobs", job.id)
        assert row is not None
        draft.put("leases", lease | {"epoch": 6})
        draft.put("jobs", row | {"attempts": [row["attempts"][0] | {"epoch": 6}]})
    recover(cluster, nodes)
    after = cluster.job(job.id)
    assert (after.state, after.reason) == ("LOST", f"lost {node}: {node} has no record of it")
