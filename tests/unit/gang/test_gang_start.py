# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a gang: one command a node, all or none, and around nodes that do not answer."""

from __future__ import annotations

import socket

import pytest
from muster.gang import NotStarted, release_gang, start_gang
from muster.model import SECRET, InvalidInput, NoCapacity

from .conftest import eventually, processes_of, spec


def test_all_ranks_run_after_one_command_a_node_that_has_the_agent(cluster, nodes):
    for name in ("n1", "n2", "n3"):
        assert nodes.dial(name).call(["version"]).ok
    job, plan = cluster.allocate(spec())
    started = start_gang(cluster, nodes.dial, job)
    assert started.commands == {"n1": 1, "n2": 1, "n3": 1}
    assert started.job.state == "RUNNING"
    assert started.plan == plan
    assert [nodes.status(name, job)["state"] for name in ("n1", "n2", "n3")] == ["running"] * 3
    eventually(lambda: len(processes_of(job)) >= 4, "all ranks are there")


def test_a_start_costs_two_transactions_whatever_the_number_of_nodes(cluster, nodes):
    counts = []
    for slots in (1, 3):
        job, _plan = cluster.allocate(spec(slots=slots))
        before = cluster.store.read().serial
        start_gang(cluster, nodes.dial, job)
        counts.append(cluster.store.read().serial - before)
    assert counts == [2, 2]


def test_one_node_that_refuses_keeps_all_from_starting(cluster, nodes, tmp_path):
    missing = tmp_path / "only-for-a-moment"
    job, _plan = cluster.allocate(spec(cwd=str(missing)))
    with pytest.raises(NotStarted, match=f"the directory {missing} does not exist on n1, n2, n3"):
        start_gang(cluster, nodes.dial, job)
    assert cluster.view().jobs == []
    assert cluster.leases() == []
    assert nodes.jobs() == []
    assert processes_of(job) == []


def test_a_node_that_does_not_answer_is_left_out_and_another_takes_its_place(cluster, nodes):
    nodes.cut = {"n2"}
    said = []
    job, plan = cluster.allocate(spec(nodes=2, slots_per_node=1))
    assert {part.node for part in plan.nodes} == {"n2", "n3"}, "the fullest nodes are taken first"
    started = start_gang(cluster, nodes.dial, job, say=said.append)
    assert {part.node for part in started.plan.nodes} == {"n1", "n3"}
    assert list(started.left_out) == ["n2"]
    assert said == ["n2 is left out: n2 does not answer: no route to host"]
    assert {node["name"]: node["status"] for node in cluster.view().nodes}["n2"] == "unreachable"
    assert [row["state"] for row in cluster.view().jobs] == ["RUNNING"]
    assert processes_of(job) == [], "nothing of the first try is left"


def test_too_few_nodes_left_is_an_error_that_names_who_is_missing(cluster, nodes):
    nodes.cut = {"n2"}
    job, _plan = cluster.allocate(spec())
    said = r"more than the nodes in service have .*left out: n2 .*n2 does not answer: no route to host"
    with pytest.raises(NoCapacity, match=said):
        start_gang(cluster, nodes.dial, job)
    assert cluster.leases() == []
    assert cluster.view().jobs == []
    assert nodes.jobs() == []


def test_a_secret_that_the_state_does_not_keep_must_be_given_again(cluster, nodes):
    job, _plan = cluster.allocate(spec(slots=1, env={"API_TOKEN": "x"}))
    assert cluster.job(job.id).spec.env == {"API_TOKEN": SECRET}
    with pytest.raises(InvalidInput, match="API_TOKEN"):
        start_gang(cluster, nodes.dial, cluster.job(job.id))
    assert start_gang(cluster, nodes.dial, job, env={"API_TOKEN": "x"}).job.state == "RUNNING"


def test_a_port_that_somebody_else_has_taken_is_replaced_by_another(cluster, nodes):
    job, plan = cluster.allocate(spec())
    with socket.create_server(("127.0.0.1", plan.master_port)):
        started = start_gang(cluster, nodes.dial, job)
    assert started.plan.master_port != plan.master_port
    assert [row["state"] for row in cluster.view().jobs] == ["RUNNING"]
    assert processes_of(job) == [], "nothing of the first try is left"


def test_an_error_of_our_own_leaves_no_lease_and_no_process_behind(cluster, nodes):
    class Broken:
        name = "n2"
        commands = 0

        def call(self, *_args):
            raise RuntimeError("a bug")

        def close(self):
            pass

    dialed = []

    def dial(name):
        dialed.append(name)
        return Broken() if name == "n2" and dialed.count(name) == 1 else nodes.dial(name)

    job, _plan = cluster.allocate(spec())
    with pytest.raises(NotStarted, match="n2 could not be asked: RuntimeError: a bug"):
        start_gang(cluster, dial, job)
    assert cluster.view().jobs == []
    assert cluster.leases() == []
    assert nodes.jobs() == [], "nobody waits at the gate any more"
    assert processes_of(job) == []


def test_a_job_that_is_canceled_between_two_nodes_leaves_nothing(cluster, nodes):
    """The cancel comes to nodes that have not been asked to start yet, and know nothing of the job."""
    job, _plan = cluster.allocate(spec("exec sleep 600"))
    canceled = []

    def dial(name):
        client = nodes.dial(name)
        if not canceled:
            canceled.append(release_gang(cluster, nodes.dial, cluster.job(job.id), "enough")[0].state)
        return client

    with pytest.raises(NotStarted, match="was canceled while it was being started: enough"):
        start_gang(cluster, dial, job)
    assert canceled == ["CANCELED"]
    assert (cluster.job(job.id).state, cluster.leases(), processes_of(job)) == ("CANCELED", [], [])
