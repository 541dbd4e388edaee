# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs on real nodes: how they fail, what is left of them (nothing), and launches that cannot begin."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.integration.lab.fleet import STATE_DIR, Fleet

NODES = ("n001", "n002", "n003")
STUBBORN = "trap '' TERM; echo before; setsid --fork sleep 600; while :; do sleep 600; done"
"""A rank that ignores SIGTERM and has a child in a session of its own."""


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def stubborn_but(rank: int, end: str) -> list[str]:
    """All ranks are stubborn, but one ends in that way once the child of its neighbour on the node runs."""
    return shell(
        f"if [ $RANK = {rank} ]; then trap '' TERM; setsid --fork sleep 600; echo before; {end}; fi; {STUBBORN}"
    )


@pytest.mark.parametrize(
    ("command", "limit", "cause"),
    [
        (stubborn_but(2, "exit 3"), None, "rank 2 on n002 failed first: exit code 3"),
        (stubborn_but(3, "kill -9 $$"), None, "rank 3 on n003 failed first: killed by SIGKILL"),
        (shell(STUBBORN), 8, "the time limit of 8 s reached"),
    ],
    ids=["exit code", "signal", "time limit"],
)
@pytest.mark.parametrize("user", ["root", "ops"])
def test_a_failure_is_named_and_nothing_stays_on_any_node(
    fleet: Fleet, user: str, command: list[str], limit: int | None, cause: str
) -> None:
    job = {"name": "bad", "command": command, "nodes": 3, "grace_s": 1, "time_limit_s": limit or ""}
    run = fleet.play("launch", job=job, on=fleet.inventory(3, user=user))
    assert run.rc != 0
    assert cause in run.said, run.out
    assert re.search(r"last lines of rank \d on n\d+: before", run.said), run.out
    ended = fleet.job("bad")
    assert (ended["state"], ended["reason"]) == ("FAILED", cause)
    assert fleet.remains(ended) == []
    assert set(fleet.logs(ended)) == {0, 1, 2, 3}
    assert set(fleet.statuses().values()) == {"idle"}


def test_ranks_run_as_the_user_muster_and_release_ends_them(fleet: Fleet) -> None:
    job = {"name": "long", "command": shell("id -un; sleep 600"), "nodes": 3}
    run = fleet.play("launch", job=job, muster_wait=False)
    assert run.rc == 0, run.out
    running = fleet.job("long")
    assert running["state"] == "RUNNING"
    assert len(fleet.table("leases")) == 3
    assert fleet.wait_for_logs(running, 4) == dict.fromkeys(range(4), "muster\n")
    left = fleet.processes(running, fleet.lab.nodes)
    assert len([line for line in left if "/environ" in line]) >= 4, "what the other tests look for can be found"
    assert len([line for line in left if f"muster-{running['id']}-1.service" in line]) == 3
    released = fleet.play("release", muster_release="long")
    assert released.rc == 0, released.out
    assert fleet.job("long")["state"] == "CANCELED"
    assert fleet.remains(running) == []


@pytest.mark.parametrize(
    ("change", "path", "sentence"),
    [
        ({"cwd": "/srv/data"}, "/srv/data", "the directory /srv/data does not exist on n002"),
        ({"command": ["/srv/train", "x"]}, "/srv/train", "'/srv/train' is not an executable file on n002"),
    ],
    ids=["cwd", "executable"],
)
def test_what_is_missing_on_one_node_is_named_with_it_and_nothing_starts(
    fleet: Fleet, change: dict[str, Any], path: str, sentence: str
) -> None:
    make = f"mkdir -p {path}" if "cwd" in change else f"cp /usr/bin/touch {path}"
    for node in ("n001", "n003"):
        fleet.shell(node, make)
    fleet.shell("n002", f"rm -rf {path}")
    job = {"name": "never", "command": ["touch", "/tmp/started"], "nodes": 3} | change
    run = fleet.play("launch", job=job)
    assert run.rc != 0
    assert sentence in run.said, run.out
    told = re.search(r"was not started: ([^\"]*)", run.said)
    assert told and not re.search("n001|n003", told[1].split(sentence)[0]), run.out
    assert "Traceback" not in run.out
    assert (fleet.table("jobs"), fleet.table("leases"), fleet.job_directories()) == ([], [], [])
    assert not any((fleet.lab[node].root / "tmp/started").exists() for node in NODES)


def test_a_node_that_lost_power_is_left_out_until_it_is_back(fleet: Fleet) -> None:
    assert fleet.play("sync").rc == 0
    fleet.lab.fault("power-loss", "n001")
    run = fleet.play("launch", job={"name": "around", "command": ["true"], "nodes": 2})
    assert run.rc == 0, run.out
    assert "n001 is left out: n001 (10.77.1.1:22)" in run.said, run.out
    placed = fleet.job("around")
    assert placed["state"] == "SUCCEEDED"
    assert [part["node"] for part in placed["attempts"][-1]["plan"]["nodes"]] == ["n002", "n003"]
    assert fleet.statuses() == {"n001": "unreachable", "n002": "idle", "n003": "idle"}
    fleet.lab.heal("n001")
    assert fleet.play("sync").rc == 0
    assert set(fleet.statuses().values()) == {"idle"}
    assert fleet.play("launch", job={"name": "all", "command": ["true"], "nodes": 3}).rc == 0


def test_too_few_nodes_that_answer_are_an_error_and_hold_no_lease(fleet: Fleet) -> None:
    assert fleet.play("sync").rc == 0
    fleet.lab.fault("drop", "n002")
    for left_out in ("left out: n002 (10.77.1.2:22) does not answer", "left out: n002 (unreachable)"):
        run = fleet.play("launch", job={"name": "few", "command": ["touch", "/tmp/started"], "nodes": 3})
        assert run.rc != 0
        assert "the job asks for 3 whole nodes" in run.said and left_out in run.said, run.out
        assert "Traceback" not in run.out
        assert (fleet.table("jobs"), fleet.table("leases"), fleet.job_directories()) == ([], [], [])
        assert fleet.statuses() == {"n001": "idle", "n002": "unreachable", "n003": "idle"}
    assert not any((fleet.lab[node].root / "tmp/started").exists() for node in NODES)


def test_an_agent_of_another_version_is_replaced_by_the_launch(fleet: Fleet) -> None:
    assert fleet.play("sync").rc == 0
    agent = fleet.lab["n002"].root / STATE_DIR / "bin/muster-agent.pyz"
    right = agent.read_bytes()
    older = {"protocol": 1, "agent": "0.0.9+00000000", "verb": "start", "ok": False}
    agent.write_text(f"import json, sys\nprint(json.dumps({older}))\nsys.exit(76)\n")
    run = fleet.play("launch", job={"name": "fresh", "command": ["true"], "nodes": 3})
    assert run.rc == 0, run.out
    assert agent.read_bytes() == right


def test_a_launch_through_a_jump_host_needs_no_sync_before_it(fleet: Fleet) -> None:
    for node in ("n002", "n003"):
        fleet.lab.fault("hide", node)
    command = shell("echo $RANK of $WORLD_SIZE")
    run = fleet.play("launch", job={"name": "far", "command": command, "nodes": 3}, on=fleet.inventory(3, via="n001"))
    assert run.rc == 0, run.out
    far = fleet.job("far")
    assert fleet.logs(far) == {rank: f"{rank} of 4\n" for rank in range(4)}
    assert json.dumps(fleet.nodes()["n003"]["connection"]).count("n001") >= 1


def test_two_nodes_that_cannot_reach_each_other_are_named_before_anything_starts(fleet: Fleet) -> None:
    """Neither is that of rank 0: all would seem well until the ranks wait for each other."""
    fleet.lab.fault("part", "n002", fleet.lab["n003"].address)
    job = {"name": "parted", "command": ["touch", "/tmp/started"], "nodes": 3}
    run = fleet.play("launch", job=job)
    assert run.rc != 0
    for one, other in (("n002", "n003"), ("n003", "n002")):
        address = re.escape(fleet.lab[other].address)
        assert re.search(rf"{one} cannot reach {other} at {address} \(connection timed out\): a firewall", run.said), (
            run.out
        )
    assert (fleet.table("jobs"), fleet.table("leases"), fleet.job_directories()) == ([], [], [])
    assert fleet.play("launch", job=job, muster_preflight=False).rc == 0
