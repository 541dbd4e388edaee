# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A launch that dies, or loses its connections, leaves its job to the nodes: it goes on, and its end is told."""

from __future__ import annotations

import os
import random
import re
import sys
import time
from typing import Any

import pytest

from tests.integration.killing import kill_playbook
from tests.integration.lab.fleet import Fleet
from tests.lab.command import wait_until

ROUNDS = int(os.environ.get("MUSTER_KILLED_NODE_LAUNCHES", "2"))
LONGEST_S = 12.0
"""About how long a launch takes here, nodes that are new included, on a machine that does other things as well."""
PATIENCE_S = 90
WAITS = ["sh", "-c", "while [ ! -e /tmp/may-end ]; do sleep 0.2; done; [ $RANK != 3 ] || exit 7"]

CUT = "pids=$(pgrep -f '^sshd: .*@notty') && kill -KILL $pids && echo $pids"
"""Ends the connections of a node, and prints something if there were any."""


def runs(fleet: Fleet) -> bool:
    return "RUNNING" in {row["state"] for row in fleet.table("jobs")}


def going_on(fleet: Fleet, job: dict[str, Any]) -> bool:
    """Whether anything of the job lives on a node, or is being started there."""
    nodes = fleet.lab.nodes
    starting = any(fleet.shell(node, "pgrep -f 'muster-agent[.]pyz.* start( |$)'") for node in nodes)
    return starting or fleet.processes(job, nodes) != []


def may_end(fleet: Fleet, job: dict[str, Any]) -> None:
    """Let the ranks end, and wait until they have."""
    for node in fleet.lab.nodes:
        fleet.shell(node, "touch /tmp/may-end")
    wait_until(lambda: not going_on(fleet, job), PATIENCE_S, "the end of its ranks", 0.2)


@pytest.fixture(autouse=True)
def _may_not_end_yet(fleet: Fleet) -> None:
    for node in fleet.lab.nodes:
        fleet.shell(node, "rm -f /tmp/may-end")


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_launch_that_is_killed_at_any_moment(fleet: Fleet, turn: int) -> None:
    job = {"name": "ring", "command": ["sh", "-c", "sleep 1; echo finished"], "nodes": 3}
    process = fleet.begin("launch", job=job)
    time.sleep(random.Random(turn).uniform(0.5, LONGEST_S))
    kill_playbook(process)
    found = fleet.table("jobs")
    if found:
        wait_until(lambda: not going_on(fleet, found[-1]), PATIENCE_S, "the end of its ranks", 0.2)
    recovered = fleet.play("recover")
    assert recovered.rc == 0, recovered.out
    assert fleet.run(sys.executable, "-m", "muster.cli", "verify").rc == 0
    if not found:
        assert (fleet.table("jobs"), fleet.table("leases")) == ([], [])
        return
    after = fleet.job("ring")
    if list(fleet.logs(after).values()).count("finished\n") == 4:
        assert (after["state"], fleet.table("leases")) == ("SUCCEEDED", [])
    else:
        assert after["state"] in ("ALLOCATED", "STARTING"), recovered.out
        assert fleet.play("release", muster_release="ring").rc == 0
        assert fleet.job("ring")["state"] == "CANCELED"
    assert fleet.remains(after) == []


def test_a_job_goes_on_when_its_launch_is_killed_and_its_exit_code_arrives(fleet: Fleet) -> None:
    process = fleet.begin("launch", job={"name": "goes-on", "command": WAITS, "nodes": 3})
    wait_until(lambda: runs(fleet), PATIENCE_S, "it runs", 0.2)
    kill_playbook(process)
    attached = fleet.play("recover")
    assert re.search(r"goes-on \(\w+\) n001, n002, n003 runs left as it is", attached.said), attached.out
    job = fleet.job("goes-on")
    assert job["state"] == "RUNNING"
    wait_until(lambda: len(fleet.processes(job, fleet.lab.nodes)) >= 7, PATIENCE_S, "its ranks are there", 0.2)
    may_end(fleet, job)
    assert fleet.play("recover").rc == 0
    after = fleet.job("goes-on")
    assert (after["state"], after["reason"]) == ("FAILED", "rank 3 on n003 failed first: exit code 7")
    assert fleet.remains(job) == []


def test_a_launch_whose_connections_are_cut_connects_again_and_tells_the_exit_code(fleet: Fleet) -> None:
    process = fleet.begin("launch", job={"name": "cut", "command": WAITS, "nodes": 3})
    wait_until(lambda: runs(fleet), PATIENCE_S, "it runs", 0.2)
    for node in ("n001", "n002", "n003"):
        wait_until(lambda node=node: fleet.shell(node, CUT) != "", PATIENCE_S, "a connection to cut", 0.1)
    job = fleet.job("cut")
    may_end(fleet, job)
    out, _err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert "FAILED: rank 3 on n003 failed first: exit code 7" in " ".join(out.split()), out
    assert (fleet.job("cut")["state"], fleet.remains(job)) == ("FAILED", [])


def test_a_launch_that_loses_all_nodes_from_sight_says_so_and_recover_attaches_again(fleet: Fleet) -> None:
    process = fleet.begin("launch", job={"name": "unseen", "command": WAITS, "nodes": 3})
    wait_until(lambda: runs(fleet), PATIENCE_S, "it runs", 0.2)
    for node in ("n001", "n002", "n003"):
        fleet.lab.fault("hide", node)
    out, _err = process.communicate(timeout=3 * PATIENCE_S)
    assert process.returncode != 0
    assert "no word for 60 s from where job unseen" in " ".join(out.split()), out
    job = fleet.job("unseen")
    assert job["state"] == "RUNNING"
    wait_until(lambda: len(fleet.processes(job, fleet.lab.nodes)) >= 7, PATIENCE_S, "its ranks are there", 0.2)
    fleet.lab.heal()
    assert "runs left as it is" in fleet.play("recover").said
    may_end(fleet, job)
    assert fleet.play("recover").rc == 0
    assert (fleet.job("unseen")["state"], fleet.remains(job)) == ("FAILED", [])
