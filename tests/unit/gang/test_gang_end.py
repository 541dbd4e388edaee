# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a gang: followed, stopped, or found to be over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from functools import partial

import pytest
from muster.cluster import open_cluster
from muster.gang import (
    OutOfTouch,
    follow,
    follow_gang,
    release_gang,
    settle_gang,
    settle_gangs,
    start_gang,
    stop_gang,
    told,
)
from muster.gang.verdict import UNDECIDED_FOR
from muster.model import InvalidInput, iso, utc_now
from muster.remote import fan_out
from muster.scheduling import start_requests

from .conftest import SLOTS, eventually, processes_of, spec


def running(cluster, nodes, script, **asked):
    job, _plan = cluster.allocate(spec(script, **asked))
    return start_gang(cluster, nodes.dial, job).job


def test_a_gang_that_succeeds_gives_everything_back(cluster, nodes):
    job = running(cluster, nodes, "exit 0")
    ended = follow_gang(cluster, nodes.dial, job)
    assert (ended.job.state, ended.doubtful) == ("SUCCEEDED", {})
    assert cluster.leases() == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo boom; [ $RANK = 3 ] && exit 7; exec sleep 600", "rank 3 on n3 failed first: exit code 7"),
        ("echo boom; [ $RANK = 1 ] && kill -SEGV $$; exec sleep 600", "rank 1 on n1 failed first: killed by SIGSEGV"),
    ],
)
def test_the_first_failure_ends_the_others_and_is_named(cluster, nodes, script, reason):
    job = running(cluster, nodes, script)
    ended = follow_gang(cluster, nodes.dial, job)
    assert (ended.job.state, ended.outcome.reason) == ("FAILED", reason)
    assert told(job.name, job.id, ended.outcome).endswith("boom")
    assert cluster.leases() == []
    assert processes_of(job) == []


def test_the_failure_that_came_first_is_named_not_the_one_that_was_heard_first(cluster, nodes):
    # n3's rank fails at once; the others fail, or are ended, a moment later. All is on record when it is read.
    flag = nodes.directory / "failed"
    others = f"while ! [ -e {flag} ]; do sleep 0.01; done; sleep 5; exit 2"
    script = f"if [ $RANK = 3 ]; then touch {flag}; exit 1; fi; {others}"
    job = running(cluster, nodes, script)
    eventually(lambda: all(nodes.status(n, job)["ended_at"] for n in ("n1", "n2", "n3")), "all parts end")
    assert follow_gang(cluster, nodes.dial, job).outcome.reason == "rank 3 on n3 failed first: exit code 1"


def test_a_cancel_that_meets_a_launch_that_takes_its_job_back_has_what_it_wants(cluster, nodes):
    early, _plan = cluster.allocate(spec())
    cluster.withdraw(early.id, early.attempt.epoch)
    assert release_gang(cluster, nodes.dial, early, "enough")[0].state == "CANCELED"
    late, _plan = cluster.allocate(spec())

    def meanwhile(name):
        if cluster.leases():
            cluster.withdraw(late.id, late.attempt.epoch)
        return nodes.dial(name)

    released, doubtful = release_gang(cluster, meanwhile, late, "enough")
    assert (released.state, released.reason, doubtful) == ("CANCELED", "enough", {})
    assert (cluster.leases(), cluster.view().jobs) == ([], [])


def test_release_ends_a_gang_that_ignores_sigterm(cluster, nodes):
    job = running(cluster, nodes, "trap '' TERM; while :; do sleep 1; done", grace_s=1)
    released, doubtful = release_gang(cluster, nodes.dial, job, "enough")
    assert (released.state, released.reason, doubtful) == ("CANCELED", "enough", {})
    assert cluster.leases() == []
    assert processes_of(job) == []


def test_a_node_that_cannot_say_that_nothing_is_left_keeps_its_lease_and_is_drained(cluster, nodes):
    job = running(cluster, nodes, "exec sleep 600")
    nodes.cut = {"n2"}
    released, doubtful = release_gang(cluster, nodes.dial, job, "enough")
    assert released.state == "CANCELED"
    assert list(doubtful) == ["n2"]
    assert [lease.node for lease in cluster.leases()] == ["n2"]
    drained = cluster.nodes()["n2"].admin
    assert (drained.state, job.id in drained.reason) == ("drained", True)
    nodes.cut.clear()
    again, doubtful = release_gang(cluster, nodes.dial, cluster.job(job.id), "now it answers")
    assert (again.state, again.reason, doubtful) == ("CANCELED", "enough", {})
    assert cluster.leases() == []
    assert processes_of(job) == []


def test_settling_leaves_alone_what_runs(cluster, nodes):
    job = running(cluster, nodes, "exec sleep 600")
    before = cluster.store.read().serial
    assert settle_gang(cluster, nodes.dial, job).state == "RUNNING"
    assert cluster.store.read().serial == before


def test_settling_gives_a_job_that_ended_unwatched_its_true_end(cluster, nodes):
    job = running(cluster, nodes, "exit 0")
    eventually(lambda: all(nodes.status(n, job)["state"] == "succeeded" for n in ("n1", "n2", "n3")), "all parts end")
    assert settle_gang(cluster, nodes.dial, job).state == "SUCCEEDED"
    assert cluster.leases() == []


def test_settling_ends_a_job_of_which_one_part_has_failed(cluster, nodes):
    job = running(cluster, nodes, "[ $RANK = 2 ] && exit 5; exec sleep 600")
    eventually(lambda: nodes.status("n2", job)["state"] == "failed", "the part on n2 fails")
    settled = settle_gang(cluster, nodes.dial, job)
    assert (settled.state, settled.reason) == ("FAILED", "rank 2 on n2 failed first: exit code 5")
    assert cluster.leases() == []
    assert processes_of(job) == []


def test_settling_concludes_nothing_from_silence(cluster, nodes):
    job = running(cluster, nodes, "[ $NODE_RANK = 0 ] && exit 0; exec sleep 600")
    eventually(lambda: nodes.status("n1", job)["state"] == "succeeded", "the part on n1 ends")
    nodes.cut = {"n2", "n3"}
    assert settle_gang(cluster, nodes.dial, job).state == "RUNNING"
    assert len(cluster.leases()) == 3


def test_settling_all_gangs_returns_those_that_are_over(cluster, nodes):
    over = [running(cluster, nodes, "exit 0", slots=1) for _job in range(2)]
    lasting = running(cluster, nodes, "exec sleep 600", slots=1)
    for job in over:
        (node,) = [part["node"] for part in job.attempt.plan["nodes"]]
        eventually(lambda job=job, node=node: nodes.status(node, job)["state"] == "succeeded", "it ends")
    assert {(job.id, job.state) for job in settle_gangs(cluster, nodes.dial)} == {(job.id, "SUCCEEDED") for job in over}
    assert {lease.job for lease in cluster.leases()} == {lasting.id}
    assert settle_gangs(cluster, nodes.dial) == []


def test_two_who_settle_at_the_same_moment_agree(cluster, nodes):
    job = running(cluster, nodes, "exit 0", slots=1)
    (node,) = [part["node"] for part in job.attempt.plan["nodes"]]
    eventually(lambda: nodes.status(node, job)["state"] == "succeeded", "it ends")

    def dial_while_another_settles(name):
        if cluster.job(job.id).state == "RUNNING":
            assert settle_gang(cluster, nodes.dial, job).state == "SUCCEEDED"
        return nodes.dial(name)

    assert [ended.state for ended in settle_gangs(cluster, dial_while_another_settles)] == ["SUCCEEDED"]
    assert cluster.leases() == []


def test_a_supervisor_that_was_killed_makes_the_job_lost_and_its_ranks_are_ended(cluster, nodes):
    job = running(cluster, nodes, "exec sleep 600")
    os.kill(nodes.status("n2", job)["supervisor"]["pid"], signal.SIGKILL)
    ended = follow_gang(cluster, nodes.dial, job)
    assert ended.job.state == "LOST"
    assert "n2" in ended.outcome.reason
    assert cluster.leases() == []
    assert processes_of(job) == []


def test_an_error_of_our_own_while_following_is_one_word_that_is_missing(cluster, nodes):
    job = running(cluster, nodes, "sleep 1")
    dialed = []

    def dial(name):
        dialed.append(name)
        if name == "n2" and dialed.count(name) == 1:
            raise RuntimeError("a bug")
        return nodes.dial(name)

    assert follow_gang(cluster, dial, job).job.state == "SUCCEEDED"
    assert dialed.count("n2") == 2


class TestOutOfReach:
    """A controller that cannot reach nodes knows nothing of them, and ends nothing."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch):
        monkeypatch.setattr(follow, "SILENCE_S", 6.0)
        monkeypatch.setattr(follow, "POLL_S", 1)

    def test_one_node_of_a_gang_that_runs_is_waited_for(self, cluster, nodes):
        flag = nodes.directory / "go"
        job = running(cluster, nodes, f"while ! [ -e {flag} ]; do sleep 0.05; done")
        nodes.cut = {"n2"}
        lines = []

        def say(_job, reports):
            lines.append(sorted(name for name, one in reports.items() if one.state == "silent"))
            if len(lines) == 5:  # for longer than any silence may last
                flag.touch()
                nodes.cut.clear()

        assert follow_gang(cluster, nodes.dial, job, say=say, every_s=2.0).job.state == "SUCCEEDED"
        assert lines[2:5] == [["n2"]] * 3
        assert cluster.leases() == []

    def test_when_none_answers_the_job_stays_as_it_is(self, cluster, nodes):
        job = running(cluster, nodes, "[ $NODE_RANK = 0 ] && exit 0; exec sleep 600")
        eventually(lambda: nodes.status("n1", job)["state"] == "succeeded", "the part on n1 ends")
        nodes.cut = {"n2", "n3"}
        with pytest.raises(
            OutOfTouch, match=r"no word for 6 s from where job \w+ \(\w+\) still runs: n2 .*; n3 "
        ) as out:
            follow_gang(cluster, nodes.dial, job)
        assert "recover.yml" in out.value.hint
        assert (cluster.job(job.id).state, len(cluster.leases())) == ("RUNNING", 3)
        assert [name for name, node in cluster.nodes().items() if not node.reachability.ok] == ["n2", "n3"]
        assert len(processes_of(job)) == 2
        nodes.cut.clear()
        assert follow_gang(cluster, nodes.dial, stopped_on_its_nodes(nodes, job)).job.state == "CANCELED"

    def test_a_node_that_never_said_anything_is_told_as_well(self, cluster, nodes):
        job = running(cluster, nodes, "exec sleep 600")
        nodes.cut = {"n1", "n3"}
        hopeless = threading.Event()

        def dial(name):
            if name == "n2":
                hopeless.wait()
            return nodes.dial(name)

        try:
            with pytest.raises(OutOfTouch, match="; n2 has said nothing; n3 "):
                follow_gang(cluster, dial, job)
        finally:
            hopeless.set()
        assert cluster.job(job.id).state == "RUNNING"

    def test_a_part_that_failed_is_told_though_another_is_out_of_reach(self, cluster, nodes):
        flag = nodes.directory / "fail"
        job = running(
            cluster, nodes, f"while ! [ -e {flag} ]; do sleep 0.05; done; [ $RANK = 3 ] && exit 4; exec sleep 600"
        )
        nodes.cut = {"n2"}
        flag.touch()
        ended = follow_gang(cluster, nodes.dial, job)
        assert (ended.job.state, ended.outcome.reason) == ("FAILED", "rank 3 on n3 failed first: exit code 4")
        assert list(ended.doubtful) == ["n2"]
        eventually(lambda: processes_of(job) == [], "n2 hears it from the others")


def stopped_on_its_nodes(nodes, job):
    """The job, after its parts on n2 and n3 were stopped without a word to the state."""
    attempt = job.attempt
    stop_gang(nodes.dial, ["n2", "n3"], job.id, attempt.number, attempt.epoch, "enough")
    return job


def test_a_node_that_has_lost_its_record_makes_the_job_lost_at_once(cluster, nodes):
    job = running(cluster, nodes, "[ $NODE_RANK = 0 ] && exit 0; exec sleep 600")
    eventually(lambda: nodes.status("n1", job)["state"] == "succeeded", "the part on n1 ends")
    shutil.rmtree(nodes.directory / "n1" / "jobs")
    ended = follow_gang(cluster, nodes.dial, job)
    assert (ended.job.state, ended.outcome.reason) == ("LOST", "lost n1: n1 has no record of it")
    assert cluster.leases() == []
    assert processes_of(job) == []


def test_only_what_runs_can_be_followed(cluster, nodes):
    job, _plan = cluster.allocate(spec(slots=1))
    with pytest.raises(InvalidInput, match="is ALLOCATED: only a job that runs can be followed"):
        follow_gang(cluster, nodes.dial, job)
    assert cluster.job(job.id).state == "ALLOCATED"


@pytest.mark.parametrize(("script", "end"), [("exec sleep 600", "RUNNING"), ("exit 0", "SUCCEEDED")])
def test_a_launch_that_died_right_after_its_start_is_told_by_what_became_of_its_ranks(cluster, nodes, script, end):
    job, plan = cluster.allocate(spec(script))
    cluster.starting(job.id, 1)
    requests = start_requests(
        plan, job.spec, cluster.nodes(), job=job.id, attempt=1, epoch=1, lineage=cluster.lineage(), token="secret"
    )
    fan_out({name: partial(nodes.dial(name).call, ["start"], json.dumps(r).encode()) for name, r in requests.items()})
    if end == "SUCCEEDED":
        eventually(lambda: all(nodes.status(n, job)["state"] == "succeeded" for n in requests), "all parts end")
    later = open_cluster(str(cluster.store), actor="test")
    before = later.job(job.id)
    overdue = before.attempts[0].model_copy(update={"allocated_at": iso(utc_now() - 2 * UNDECIDED_FOR)})
    settled = settle_gang(later, nodes.dial, before.model_copy(update={"attempts": [overdue]}))
    assert (settled.state, settled.reason) == (end, "")
    assert bool(later.leases()) is (end == "RUNNING")


@pytest.mark.parametrize(
    ("script", "end"), [("exec sleep 600", "RUNNING"), ("exit 0", "SUCCEEDED"), ("exit 3", "FAILED")]
)
def test_a_launch_may_be_settled_by_another_before_it_has_said_that_it_runs(cluster, nodes, script, end):
    job, _plan = cluster.allocate(spec(script))
    other = open_cluster(str(cluster.store), actor="other")
    settled = []

    class Late:
        """An agent that is hung up on once the other has settled the job."""

        def __init__(self, client):
            self.client = client

        def __getattr__(self, name):
            return getattr(self.client, name)

        def close(self):
            if not settled:
                key = "started_at" if end == "RUNNING" else "ended_at"
                eventually(lambda: all(nodes.status(name, job)[key] for name in SLOTS), "all are that far")
                settled.append(settle_gang(other, nodes.dial, other.job(job.id)).state)
            self.client.close()

    started = start_gang(cluster, lambda name: Late(nodes.dial(name)), job)
    assert (settled, started.job.state) == ([end], end)
    assert bool(cluster.leases()) is (end == "RUNNING")
