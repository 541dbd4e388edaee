# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job that may be restarted, on real nodes of which some are lost: it goes on elsewhere, and what comes back too late
is stopped and counts for nothing."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.lab.fleet import Fleet
from tests.lab.command import wait_until

PATIENCE_S = 60


def nodes_of(job: dict[str, Any]) -> list[list[str]]:
    """The nodes of each attempt."""
    return [[part["node"] for part in attempt["plan"]["nodes"]] for attempt in job["attempts"]]


def states(job: dict[str, Any]) -> list[str]:
    return [attempt["state"] for attempt in job["attempts"]]


def test_a_launch_that_waits_goes_on_without_the_node_that_was_lost(fleet: Fleet) -> None:
    script = "[ $MUSTER_ATTEMPT = 2 ] && exit 0; trap '' TERM; while :; do sleep 1; done"
    job = {"name": "goes-on", "command": ["sh", "-c", script], "nodes": 3, "max_restarts": 1}
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(fleet.play, "launch", job=job, on=4)
        wait_until(lambda: "RUNNING" in {row["state"] for row in fleet.table("jobs")}, PATIENCE_S, "it runs", 0.2)
        fleet.lab.fault("power-loss", "n003")
        run = launch.result()
    assert run.rc == 0, run.out
    assert re.search(r"goes-on \(\w+\) attempt 1 LOST: lost n003: .*; restart 1 of 1", run.said), run.out
    done = fleet.job("goes-on")
    assert (done["state"], states(done)) == ("SUCCEEDED", ["LOST", "SUCCEEDED"])
    assert nodes_of(done) == [["n001", "n002", "n003"], ["n001", "n002", "n004"]]
    assert [(lease["node"], lease["attempt"]) for lease in fleet.table("leases")] == [("n003", 1)]
    fleet.lab.heal("n003")
    recovered = fleet.play("recover", on=4)
    assert recovered.rc == 0, recovered.out
    assert "attempt 1 (epoch 1), which is behind it: n003 had lost it" in recovered.said
    assert fleet.job("goes-on")["attempts"][0]["late"] == {"n003": "had lost it"}
    assert fleet.remains(done) == []


@pytest.mark.parametrize(("script", "late"), [("exec sleep 600", "still ran it"), ("sleep 15", "had succeeded")])
def test_an_attempt_that_comes_back_when_another_has_followed_is_stopped_and_does_not_count(
    fleet: Fleet, script: str, late: str
) -> None:
    """A job on one node goes on when that is cut off: there is nobody whom it could miss."""
    command = ["sh", "-c", f"[ $MUSTER_ATTEMPT = 1 ] || exec sleep 600; {script}"]
    job = {"name": "behind", "command": command, "slots": 1, "max_restarts": 1}
    assert fleet.play("launch", job=job, muster_wait=False).rc == 0
    first = fleet.job("behind")
    ((old,),) = nodes_of(first)
    before = fleet.record(first, old)
    fleet.lab.fault("drop", old)
    given_up = fleet.play("recover", muster_lost_after_s=0)
    assert given_up.rc == 0, given_up.out
    second = fleet.job("behind")
    assert (second["state"], states(second)) == ("RUNNING", ["LOST", "RUNNING"])
    assert old not in nodes_of(second)[1]
    assert "runs again (restart 1 of 1)" in given_up.said
    if late == "had succeeded":
        wait_until(lambda: fleet.record(first, old)["state"] == "succeeded", PATIENCE_S, "it succeeds", 0.5)
    else:
        assert fleet.record(first, old) == before, "it knows nothing of all that"
    if late == "still ran it":
        assert fleet.processes(first, [old])
    else:
        assert fleet.settled(first, [old]) == []

    fleet.lab.heal(old)
    recovered = fleet.play("recover")
    assert recovered.rc == 0, recovered.out
    epoch = first["attempts"][0]["epoch"]
    assert f"attempt 1 (epoch {epoch}), which is behind it: {old} {late} does not count" in recovered.said
    assert fleet.settled(first, [old]) == []
    third = fleet.job("behind")
    assert (third["state"], third["attempts"][0]["state"]) == ("RUNNING", "LOST")
    assert third["attempts"][0]["late"] == {old: late}
    assert [(lease["node"], lease["attempt"]) for lease in fleet.table("leases")] == [(nodes_of(third)[1][0], 2)]
    where = nodes_of(third)[1]
    wait_until(
        lambda: len(fleet.processes(third, where)) == 2, PATIENCE_S, "its rank and its supervisor are there", 0.2
    )
    assert fleet.play("release", muster_release="behind").rc == 0
    assert fleet.remains(third) == []
