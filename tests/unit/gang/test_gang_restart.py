# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts: a job that may have them is started again by whoever follows it, or by who recovers what nobody follows."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from muster.cluster import Cluster, Outcome
from muster.gang import (
    Means,
    follow_with_restarts,
    recover_gangs,
    release_gang,
    settle_gang,
    settle_gangs,
    start_gang,
)
from muster.model import InvalidInput, InvalidTransition

from .conftest import eventually, kill_supervisor, processes_of, spec

ALL = ("n1", "n2", "n3")
ONCE = "[ $MUSTER_ATTEMPT = 1 ] && [ $RANK = 0 ] && exit 7; exit 0"
"""A job that fails the first time, and no other."""


def running(cluster, nodes, script=ONCE, /, **asked):
    job, _plan = cluster.allocate(spec(script, **({"max_restarts": 1} | asked)))
    return start_gang(cluster, nodes.dial, job).job


def follow(cluster, nodes, job, say=lambda line: None, env=None):
    means = Means(env, ALL, say=say)
    return follow_with_restarts(cluster, nodes.dial, job, means, allocate=lambda name: cluster.allocate(name)[0])


def has_failed(nodes, job):
    """Wait until a part of it has failed; the gang ends the others, if theirs have not failed by then."""
    names = [part["node"] for part in job.attempt.plan["nodes"]]
    eventually(lambda: "failed" in [nodes.status(name, job)["state"] for name in names], "it fails")


def recover(cluster, nodes, **given):
    return [(one.nodes, one.found, one.done) for one in recover_gangs(cluster, nodes.dial, ALL, **given).findings]


def test_a_job_that_fails_once_succeeds_the_second_time(cluster, nodes):
    said = []
    job = running(cluster, nodes)
    ended = follow(cluster, nodes, job, said.append)
    assert (ended.job.state, ended.job.restarts, ended.doubtful) == ("SUCCEEDED", 1, {})
    failure = "rank 0 on n1 failed first: exit code 7"
    assert [(one.state, one.reason) for one in ended.job.attempts] == [("FAILED", failure), ("SUCCEEDED", "")]
    assert said == [
        f"gang ({job.id}) attempt 1 FAILED: {failure}; restart 1 of 1",
        f"gang ({job.id}) runs again: 4 ranks on n1, n2, n3",
    ]
    assert cluster.leases() == []
    assert nodes.jobs() == [f"{name}/jobs/{job.id}.{number}" for name in ALL for number in (1, 2)]


def test_a_job_that_always_fails_ends_after_its_last_restart(cluster, nodes):
    ended = follow(cluster, nodes, running(cluster, nodes, "exit 7", nodes=1, max_restarts=2))
    assert (ended.outcome.state, len(ended.job.attempts)) == ("FAILED", 3)
    assert ended.outcome.failure["cause"] == "rank"
    assert cluster.leases() == []


def test_the_time_limit_is_of_each_attempt_and_its_end_the_end_of_the_job(cluster, nodes):
    ended = follow(cluster, nodes, running(cluster, nodes, "exec sleep 600", nodes=1, time_limit_s=1))
    assert (ended.job.state, ended.job.reason) == ("FAILED", "the time limit of 1 s reached")
    assert len(ended.job.attempts) == 1


def test_a_restart_that_finds_no_nodes_is_given_up_and_says_why(cluster, nodes):
    job = running(cluster, nodes)
    cluster.drain(["n3"], reason="a fan is broken")
    ended = follow(cluster, nodes, job)
    assert ended.job.state == "FAILED"
    assert ended.outcome.reason.startswith(
        "rank 0 on n1 failed first: exit code 7; not restarted: the job asks for 3 whole"
    )
    assert (ended.outcome.failure["exit_code"], cluster.leases()) == (7, [])


def test_a_restart_that_a_node_refuses_is_given_up_and_says_why(cluster, nodes, tmp_path):
    (tmp_path / "data").mkdir()
    script = f"if [ $RANK = 0 ]; then rmdir {tmp_path}/data; exit 7; else exec sleep 600; fi"
    ended = follow(cluster, nodes, running(cluster, nodes, script, nodes=1, cwd=str(tmp_path / "data")))
    assert f"not restarted: job gang was not started: the directory {tmp_path}/data does not exist" in ended.job.reason
    assert [one.state for one in ended.job.attempts] == ["FAILED", "FAILED"]
    assert (ended.job.state, cluster.leases(), cluster.view().violations) == ("FAILED", [], [])


def test_secrets_are_there_again_if_they_are_given_and_else_the_restart_is_given_up(cluster, nodes):
    env = {"API_TOKEN": "hush"}
    script = "[ $MUSTER_ATTEMPT = 2 ] && [ ${#API_TOKEN} = 4 ]"
    job, _plan = cluster.allocate(spec(script, nodes=1, max_restarts=1, env=env))
    ended = follow(cluster, nodes, start_gang(cluster, nodes.dial, job, env=env).job, env=env)
    assert ended.job.state == "SUCCEEDED"
    job, _plan = cluster.allocate(spec(script, nodes=1, max_restarts=1, env=env))
    ended = follow(cluster, nodes, start_gang(cluster, nodes.dial, job, env=env).job)
    assert "not restarted: the state does not keep the value of API_TOKEN" in ended.job.reason


def test_what_nobody_follows_is_started_again_by_who_recovers(cluster, nodes):
    job = running(cluster, nodes, "[ $MUSTER_ATTEMPT = 1 ] && exit 7; exec sleep 600")
    has_failed(nodes, job)
    foreseen = recover(Cluster(cluster.store, actor="test", dry_run=True), nodes)
    assert [done for _nodes, _found, done in foreseen] == ["would be started again, what is left of it stopped"]
    (settled, restarted) = recover(cluster, nodes)
    assert settled[2] == "is QUEUED, 3 of 3 leases given back"
    assert restarted[0] == ALL
    assert restarted[1].startswith("attempt 1 FAILED: rank ")
    assert restarted[2] == "runs again (restart 1 of 1)"
    assert (cluster.job(job.id).state, cluster.job(job.id).restarts) == ("RUNNING", 1)
    assert recover(cluster, nodes) == [(ALL, "runs", "")]
    assert cluster.view().violations == []


def test_a_restart_for_which_there_is_no_room_is_waited_for_and_nothing_else(cluster, nodes):
    job = running(cluster, nodes, "exit 7", nodes=1, max_restarts=1)
    has_failed(nodes, job)
    assert [one.state for one in settle_gangs(cluster, nodes.dial)] == ["QUEUED"], "only who recovers starts it again"
    cluster.drain(ALL, reason="a power cut is announced")
    serial = cluster.store.read().serial
    ((_nodes, found, done),) = recover(cluster, nodes)
    assert "waits for nodes: the job asks for 1 whole node, more than the nodes in service have" in found
    assert (done, cluster.store.read().serial) == ("", serial)
    elsewhere = recover_gangs(cluster, nodes.dial, [])
    assert "waits for nodes: there is no node to place a job on" in elsewhere.findings[0].found
    cluster.resume(ALL)
    assert recover(cluster, nodes)[0][2] == "runs again (restart 1 of 1)"


def test_a_job_that_waits_for_its_restart_is_let_go_of_like_any_other(cluster, nodes):
    job = running(cluster, nodes, "exit 7", nodes=1)
    has_failed(nodes, job)
    settle_gangs(cluster, nodes.dial)
    after, doubtful = release_gang(cluster, nodes.dial, cluster.job(job.id), "no longer wanted")
    assert (after.state, doubtful) == ("CANCELED", {})
    assert recover(cluster, nodes) == []


def test_who_follows_goes_on_with_what_somebody_else_has_started_again(cluster, nodes):
    job = running(cluster, nodes, "[ $MUSTER_ATTEMPT = 1 ] && exit 7; sleep 2", nodes=1)
    has_failed(nodes, job)
    recover(cluster, nodes)
    assert cluster.job(job.id).restarts == 1
    assert follow(cluster, nodes, job).job.state == "SUCCEEDED"


def test_several_that_follow_and_recover_start_it_again_once(cluster, nodes):
    job = running(cluster, nodes, "[ $MUSTER_ATTEMPT = 1 ] && { sleep 1; exit 7; }; sleep 1")
    with ThreadPoolExecutor(3) as pool:
        followers = [pool.submit(follow, cluster, nodes, job) for _time in range(2)]
        while not all(one.done() for one in followers):
            pool.submit(recover_gangs, cluster, nodes.dial, ALL).result()
    assert [one.result().job.state for one in followers] == ["SUCCEEDED"] * 2
    assert len(cluster.job(job.id).attempts) == 2
    assert (cluster.leases(), cluster.view().violations) == ([], [])


def given_up(cluster, nodes, job):
    """The node of ``job`` that is not heard of, so that the job is started again elsewhere; and it is back."""
    (old,) = [part["node"] for part in job.attempt.plan["nodes"]]
    nodes.cut = {old}
    assert [done for _nodes, _found, done in recover(cluster, nodes, lost_after=timedelta(0))] == [
        f"is QUEUED, 0 of 1 leases given back; {old} cannot say that nothing is left, and is drained",
        "runs again (restart 1 of 1)",
    ]
    now = cluster.job(job.id)
    assert now.attempt.plan["nodes"][0]["node"] != old
    assert sorted((one.attempt, one.node == old) for one in cluster.leases()) == [(1, True), (2, False)]
    assert cluster.view().violations == []
    nodes.cut.clear()
    return old


@pytest.mark.parametrize("how", ["still ran it", "had succeeded", "had lost it"])
def test_an_attempt_that_is_behind_is_ended_and_does_not_count(cluster, nodes, tmp_path, how):
    job = running(cluster, nodes, f"while [ ! -e {tmp_path}/$MUSTER_ATTEMPT ]; do sleep 0.1; done", nodes=1)
    old = given_up(cluster, nodes, job)
    if how == "had succeeded":
        (tmp_path / "1").touch()
        eventually(lambda: nodes.status(old, job)["state"] == "succeeded", "it succeeds")
    if how == "had lost it":
        kill_supervisor(nodes, old, job)
    (late,) = [one for one in recover(cluster, nodes) if one[2]]
    epoch = job.attempt.epoch
    assert late == (
        (old,),
        f"attempt 1 (epoch {epoch}), which is behind it: {old} {how}",
        "does not count; 1 of 1 leases given back",
    )
    now = cluster.job(job.id)
    assert (now.state, now.attempts[0].state, now.attempts[0].late) == ("RUNNING", "LOST", {old: how})
    assert [one.attempt for one in cluster.leases()] == [2]
    assert len(processes_of(job)) >= 1
    assert not any("MUSTER_ATTEMPT=1" in environment(pid) for pid in processes_of(job))
    assert [one for one in recover(cluster, nodes) if one[2]] == []
    (tmp_path / "2").touch()
    assert follow(cluster, nodes, now).job.state == "SUCCEEDED"


def test_an_attempt_that_is_behind_is_ended_by_other_launches_as_well(cluster, nodes):
    job = running(cluster, nodes, "exec sleep 600", nodes=1)
    given_up(cluster, nodes, job)
    settle_gangs(cluster, nodes.dial)
    assert [one.attempt for one in cluster.leases()] == [2]
    assert cluster.job(job.id).state == "RUNNING"


def test_a_job_is_let_go_of_with_all_of_its_attempts(cluster, nodes):
    job = running(cluster, nodes, "exec sleep 600", nodes=1)
    given_up(cluster, nodes, job)
    after, doubtful = release_gang(cluster, nodes.dial, cluster.job(job.id), "no longer wanted")
    assert (after.state, doubtful) == ("CANCELED", {})
    assert (cluster.leases(), processes_of(job)) == ([], [])


def test_a_job_that_is_let_go_of_is_not_started_again_by_who_follows_it(cluster, nodes):
    """The follower may hear of the end first, and that a node does not answer."""
    job = running(cluster, nodes, "exec sleep 600", nodes=2, max_restarts=3)
    (first, second) = [part["node"] for part in job.attempt.plan["nodes"]]
    with ThreadPoolExecutor(2) as pool:
        follower = pool.submit(follow, cluster, nodes, job)
        nodes.cut = {second}
        after, doubtful = release_gang(cluster, nodes.dial, job, "no longer wanted")
        ended = follower.result()
    assert (ended.job.state, after.state, len(ended.job.attempts)) == ("CANCELED", "CANCELED", 1)
    assert ended.job.reason.startswith("no longer wanted")
    assert (ended.outcome.state, ended.outcome.reason) == ("CANCELED", ended.job.reason), "and so it is told"
    assert list(doubtful) == [second]
    # Unless the follower still heard, over the connection that it had, that it has ended.
    assert {lease.node for lease in cluster.leases()} <= {second}
    nodes.cut.clear()
    recover(cluster, nodes)
    assert (cluster.leases(), processes_of(job)) == ([], [])


def test_a_job_as_it_was_a_moment_ago_does_not_make_its_new_attempt_a_late_one(cluster, nodes):
    job = running(cluster, nodes, "[ $MUSTER_ATTEMPT = 2 ] || exit 7; exec sleep 600", nodes=1)
    has_failed(nodes, job)
    recover(cluster, nodes)
    for stale in (job, job.model_copy(update={"state": "QUEUED"})):
        assert settle_gang(cluster, nodes.dial, stale).state == "RUNNING"
        assert [lease.attempt for lease in cluster.leases()] == [2]
    with pytest.raises(InvalidTransition, match=f"attempt 2 of job {job.id} is RUNNING, and not over"):
        cluster.give_back(job.id, 2, cleared=ALL)


def test_who_recovers_leaves_a_restart_to_the_launch_that_waits_for_it(cluster, nodes):
    """That has the secrets, and knows where the job may run."""
    env = {"API_TOKEN": "hush"}
    script = "[ $MUSTER_ATTEMPT = 1 ] && exit 7; [ ${#API_TOKEN} = 4 ]"
    job, _plan = cluster.allocate(spec(script, nodes=1, max_restarts=1, env=env))
    started = start_gang(cluster, nodes.dial, job, env=env).job
    waits, there_is_room = threading.Event(), threading.Event()

    def allocate(name):
        waits.set()
        assert there_is_room.wait(60)
        return cluster.allocate(name, within=[*ALL, "n9"])[0]

    with ThreadPoolExecutor(1) as pool:
        means = Means(env, ALL)
        launch = pool.submit(follow_with_restarts, cluster, nodes.dial, started, means, allocate=allocate)
        assert waits.wait(60)
        ((_nodes, found, done),) = recover(cluster, nodes)
        there_is_room.set()
    assert found.endswith("exit code 7; its launch is to start it again")
    assert (done, launch.result().job.state) == ("", "SUCCEEDED"), "n9 was forgotten meanwhile"
    assert not cluster.attended(job.id)


def test_a_restart_that_is_interrupted_is_no_end(cluster, nodes, monkeypatch):
    job = running(cluster, nodes, "[ $MUSTER_ATTEMPT = 1 ] && exit 7; exec sleep 600")
    has_failed(nodes, job)

    def interrupted(calls, heard):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("muster.gang.start.fan_out", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recover_gangs(cluster, nodes.dial, ALL)
    waiting = cluster.job(job.id)
    assert (waiting.awaits_restart, waiting.attempt.reason) == (True, "not started: the launch was interrupted")
    assert cluster.leases() == []
    assert recover(cluster, nodes)[0][2] == "runs again (restart 1 of 1)"


def test_a_restart_whose_launcher_died_before_it_ran_waits_again(cluster, nodes):
    job = running(cluster, nodes, "[ $MUSTER_ATTEMPT = 1 ] && exit 7; exec sleep 600", nodes=1)
    has_failed(nodes, job)
    settle_gangs(cluster, nodes.dial)
    again, _plan = cluster.allocate(job.id)
    cluster.starting(job.id, again.attempt.epoch)
    cluster.finish(job.id, again.attempt.epoch, Outcome("FAILED", "its launch was interrupted"), cleared=ALL)
    assert cluster.job(job.id).awaits_restart
    assert recover(cluster, nodes)[0][2] == "runs again (restart 1 of 1)"


def test_an_end_that_a_node_has_forgotten_is_no_reason_to_run_again(cluster, nodes):
    job = running(cluster, nodes, "exit 0", nodes=1)
    (node,) = [part["node"] for part in job.attempt.plan["nodes"]]
    eventually(lambda: nodes.status(node, job)["state"] == "succeeded", "it succeeds")
    shutil.rmtree(nodes.directory / node / "jobs" / f"{job.id}.1")
    recover(cluster, nodes)
    assert (cluster.job(job.id).state, cluster.job(job.id).reason) == (
        "LOST",
        f"lost {node}: {node} has no record of it",
    )


@pytest.mark.parametrize("drained", [False, True])
def test_a_node_that_could_not_answer_is_offered_again_when_it_can_unless_somebody_drained_it(cluster, nodes, drained):
    job = running(cluster, nodes, "exec sleep 600", nodes=1)
    old = given_up(cluster, nodes, job)
    assert cluster.nodes()[old].admin.state == "drained"
    if drained:
        cluster.drain([old], reason="a fan is broken")
    recover(cluster, nodes)
    assert [lease.attempt for lease in cluster.leases()] == [2]
    admin = cluster.nodes()[old].admin
    assert (admin.state, admin.reason) == (("drained", "a fan is broken") if drained else ("enabled", ""))


def test_only_what_runs_or_has_run_can_be_followed(cluster, nodes):
    job = cluster.submit(spec("exit 0", max_restarts=1))
    with pytest.raises(InvalidInput, match="is QUEUED: only a job that runs can be followed"):
        follow(cluster, nodes, job)


def environment(pid):
    try:
        return Path("/proc", str(pid), "environ").read_text().split("\0")
    except OSError:  # it has just ended
        return []
