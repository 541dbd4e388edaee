# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to nodes while a job runs on them that nobody follows: the others end soon, by themselves, and
recover.yml makes the state true."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.lab.fleet import Fleet
from tests.lab.command import wait_until
from tests.lab.pytorch import PYTHON

NODES = ("n001", "n002", "n003")
DETECTED_S, GONE_S = 15, 5
"""How long it takes at most until a lost node is noticed, and then until the other ranks are gone."""
SOON_S = DETECTED_S + GONE_S + 10
"""The same, and for what this machine does besides."""
PATIENCE_S = 180
STUBBORN = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]


def kill_supervisor(fleet: Fleet, node: str, job: dict[str, Any]) -> None:
    fleet.shell(node, f"kill -KILL {fleet.record(job, node)['supervisor']['pid']}")


def kill_rank(fleet: Fleet, node: str, job: dict[str, Any]) -> None:
    fleet.shell(node, f"kill -KILL {fleet.record(job, node)['ranks'][0]['pid']}")


def lab_fault(verb: str) -> Any:
    return lambda fleet, node, _job: fleet.lab.fault(verb, node)


FAULTS = {
    "power lost": (lab_fault("power-loss"), "LOST", "lost {node}"),
    "cable out": (lab_fault("cut"), "LOST", "lost {node}"),
    "packets dropped": (lab_fault("drop"), "LOST", "lost {node}"),
    "rebooted": (lab_fault("reboot"), "LOST", "lost {node}"),
    "supervisor killed": (kill_supervisor, "LOST", "lost {node}"),
    "rank killed": (kill_rank, "FAILED", "on {node} failed first: killed by SIGKILL"),
}


@pytest.fixture
def running(fleet: Fleet) -> dict[str, Any]:
    """A job on three nodes that nobody follows, and whose ranks do not end when they are asked to."""
    run = fleet.play("launch", job={"name": "long", "command": STUBBORN, "nodes": 3}, muster_wait=False)
    assert run.rc == 0, run.out
    job = fleet.job("long")
    assert [part["node"] for part in job["attempts"][-1]["plan"]["nodes"]] == list(NODES)
    return job


def soon_gone(fleet: Fleet, job: dict[str, Any], nodes: list[str]) -> None:
    """Nothing of the job is left on these nodes soon, though nobody looks after it."""
    wait_until(lambda: not fleet.processes(job, nodes), SOON_S, "nothing is left", 0.5)


def soon_no_rank(fleet: Fleet, job: dict[str, Any], nodes: list[str]) -> None:
    """The same of its ranks; supervisors may wait until they can write their record."""
    wait_until(
        lambda: not any(line.startswith("/proc/") for line in fleet.processes(job, nodes)),
        SOON_S,
        "no rank is left",
        0.5,
    )


@pytest.mark.parametrize("victim", ["n001", "n003"], ids=["of rank 0", "of another rank"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_other_ranks_end_and_the_state_says_why(
    fleet: Fleet, running: dict[str, Any], fault: str, victim: str
) -> None:
    happen, state, reason = FAULTS[fault]
    rest = [node for node in NODES if node != victim]
    wait_until(lambda: len(fleet.processes(running, NODES)) >= 7, PATIENCE_S, "what is looked for is found", 0.2)
    happen(fleet, victim, running)
    soon_gone(fleet, running, rest)
    recovered = fleet.play("recover")
    job = fleet.job("long")
    assert (job["state"], reason.format(node=victim) in job["reason"]) == (state, True), (job["reason"], recovered.out)
    assert {lease["node"] for lease in fleet.table("leases")} <= {victim}, "the others are free"
    if fleet.table("leases"):
        assert fleet.statuses()[victim] in ("drained", "unreachable")
    fleet.lab.heal(victim)
    again = fleet.play("recover")
    assert again.rc == 0, again.out
    assert fleet.job("long")["state"] == state
    assert fleet.remains(running) == []


def test_a_launch_that_waits_tells_which_node_was_lost(fleet: Fleet) -> None:
    job = {"name": "watched", "command": STUBBORN, "nodes": 3}
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(fleet.play, "launch", job=job)
        wait_until(lambda: "RUNNING" in {row["state"] for row in fleet.table("jobs")}, PATIENCE_S, "it runs", 0.2)
        fleet.lab.fault("power-loss", "n003")
        run = launch.result()
    assert run.rc != 0
    assert re.search(r"watched \(\w+\) LOST: lost n003", run.said), run.out
    assert fleet.job("watched")["state"] == "LOST"
    assert fleet.settled(fleet.job("watched"), ["n001", "n002"]) == []
    assert [lease["node"] for lease in fleet.table("leases")] == ["n003"]
    fleet.lab.heal("n003")
    assert fleet.play("recover").rc == 0
    assert fleet.remains(fleet.job("watched")) == []


def test_the_network_is_back_after_half_a_minute(fleet: Fleet, running: dict[str, Any]) -> None:
    """What was cut off has ended its own part as well, and says so when it can."""
    fleet.lab.fault("drop", "n002")
    soon_gone(fleet, running, ["n001", "n003"])
    soon_gone(fleet, running, ["n002"])
    fleet.lab.heal("n002")
    recovered = fleet.play("recover")
    assert recovered.rc == 0, recovered.out
    job = fleet.job("long")
    assert job["state"] == "LOST"
    assert job["reason"].startswith("lost n002: lost touch with n002: ")
    assert fleet.remains(running) == []
    assert set(fleet.statuses().values()) == {"idle"}


@pytest.mark.parametrize("full", ["n001", "n003"], ids=["of rank 0", "of another rank"])
def test_a_node_whose_disk_is_full_ends_its_part_and_tells_so_when_it_can(
    fleet: Fleet, running: dict[str, Any], full: str
) -> None:
    fleet.lab.fault("fill", full)
    kill_rank(fleet, "n002", running)
    soon_no_rank(fleet, running, list(NODES))
    fleet.play("recover")
    job = fleet.job("long")
    assert (job["state"], job["reason"]) == ("FAILED", "rank 2 on n002 failed first: killed by SIGKILL")
    assert {lease["node"] for lease in fleet.table("leases")} <= {full}
    fleet.lab.heal(full)
    soon_gone(fleet, running, list(NODES))
    again = fleet.play("recover")
    assert again.rc == 0, again.out
    assert (fleet.job("long")["state"], fleet.remains(running)) == ("FAILED", [])


def test_a_controller_that_cannot_reach_a_node_stops_nothing(fleet: Fleet, running: dict[str, Any]) -> None:
    fleet.lab.fault("hide", "n002")
    recovered = fleet.play("recover")
    assert "no word from n002" in recovered.said, recovered.out
    assert fleet.job("long")["state"] == "RUNNING"
    assert len(fleet.processes(running, NODES)) >= 7
    fleet.lab.heal("n002")
    assert fleet.play("release", muster_release="long").rc == 0
    assert fleet.remains(running) == []


TRAINS = """
import time
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
print("ready", flush=True)
while True:
    dist.all_reduce(torch.ones(1000))
    time.sleep(0.01)
"""


@pytest.mark.parametrize("fault", ["supervisor killed", "rebooted"])
def test_what_other_ranks_fail_of_when_a_node_is_lost_is_not_taken_for_the_cause(
    torch_fleet: Fleet, fault: str
) -> None:
    """Their connections break at once, and each says so in its own way."""
    job = {"name": "trains", "command": [PYTHON, "-c", TRAINS], "nodes": 3}
    assert torch_fleet.play("launch", job=job, muster_wait=False).rc == 0
    running = torch_fleet.job("trains")
    wait_until(
        lambda: sum("ready" in text for text in torch_fleet.logs(running).values()) == 4, PATIENCE_S, "all train", 0.2
    )
    FAULTS[fault][0](torch_fleet, "n003", running)
    soon_gone(torch_fleet, running, ["n001", "n002"])
    recovered = torch_fleet.play("recover")
    ended = torch_fleet.job("trains")
    assert (ended["state"], "lost n003" in ended["reason"]) == ("LOST", True), (ended["reason"], recovered.out)
    assert torch_fleet.remains(running) == []
