# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`muster cancel` on real jobs: real agents and ranks, on a node that is this machine and on one behind a real sshd."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from muster.cluster import Cluster
from muster.store import DirectoryStore

from tests.unit.samples import facts, spec

from .conftest import Muster, Running

STUBBORN = ["sh", "-c", "trap '' TERM; setsid --fork sleep 600; while :; do sleep 1; done"]

Launch = Callable[..., Running]


def processes(job: str) -> list[str]:
    """Every process that was started for a job, whatever it has become."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if f"MUSTER_JOB_ID={job}\0".encode() in environment:
            found.append(pid)
    return found


def test_it_ends_a_job_on_all_nodes_and_gives_them_back(muster: Muster, launch: Launch) -> None:
    running = launch(name="ring", command=STUBBORN)
    assert len(processes(running.job.id)) >= 3
    done = muster("cancel", "ring", "--reason", "ann needs the nodes")
    title = f"ring ({running.job.id})"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"ending {title} on n1, n2 ...",
        f"{title} is CANCELED, and nothing of it is left",
    ]
    ended = running.cluster.job("ring")
    assert (ended.state, ended.reason) == ("CANCELED", "ann needs the nodes")
    assert (running.cluster.leases(), processes(running.job.id)) == ([], [])
    again = muster("cancel", running.job.id)
    assert (again.returncode, again.stdout) == (0, f"{title} is CANCELED already: nothing to do\n")


def test_a_job_that_waits_is_canceled_without_asking_anybody(muster: Muster, location: Path) -> None:
    cluster = Cluster(DirectoryStore(location), actor="alice")
    job = cluster.submit(spec(name="later", slots=1))
    done = muster("cancel", "later")
    assert (done.returncode, done.stdout) == (0, f"later ({job.id}) is CANCELED, and nothing of it is left\n")
    assert cluster.job(job.id).state == "CANCELED"


def test_all_that_is_not_over(muster: Muster, launch: Launch) -> None:
    one = launch(name="one", nodes=None, slots=1)
    two = launch(name="two", nodes=None, slots=1)
    done = muster("cancel", "all", "--json")
    assert done.returncode == 0, done.stderr
    assert [(job["name"], job["state"], job["changed"], job["doubtful"]) for job in json.loads(done.stdout)] == [
        ("one", "CANCELED", True, {}),
        ("two", "CANCELED", True, {}),
    ]
    assert processes(one.job.id) == processes(two.job.id) == []
    assert muster("cancel", "all").stdout == "no job is active\n"
    assert json.loads(muster("cancel", "all", "--json").stdout) == []


def test_several_of_which_one_is_not_there_change_nothing(muster: Muster, launch: Launch) -> None:
    running = launch(name="ring")
    done = muster("cancel", "ring", "rong")
    assert done.returncode == 1
    assert done.stderr == "muster: there is no job rong (did you mean ring?)\n"
    assert done.stdout == ""
    assert running.cluster.job("ring").state == "RUNNING"


def test_a_node_that_does_not_answer_keeps_its_lease_is_drained_and_told(muster: Muster, launch: Launch) -> None:
    running = launch(name="ring")
    n2 = next(node for node in running.cluster.view().nodes if node["name"] == "n2")

    def reached_at(port: int) -> None:
        fields = {"slots": 1, "address": "127.0.0.1", "state_dir": n2["state_dir"]}
        running.cluster.sync_nodes([facts("n2", **fields, connection=n2["connection"] | {"port": port})])

    reached_at(1)
    done = muster("cancel", "ring")
    assert done.returncode == 1
    told = "these nodes cannot say that nothing is left: they keep their lease and are drained: n2: n2 (127.0.0.1:1)"
    assert f"is CANCELED, but {told}" in " ".join(done.stderr.split())
    assert [lease.node for lease in running.cluster.leases()] == ["n2"]
    assert running.cluster.nodes()["n2"].admin.state == "drained"
    reached_at(n2["connection"]["port"])
    again = muster("cancel", "ring")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[0] == f"asking what is left of ring ({running.job.id}) on n2 ..."
    assert running.cluster.leases() == []


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_how_it_is_used(muster: Muster, words: tuple[str, ...]) -> None:
    done = muster("cancel", *words)
    assert done.returncode == (0 if words else 2)
    assert "Traceback" not in done.stderr
