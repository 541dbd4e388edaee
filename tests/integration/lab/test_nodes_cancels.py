# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs canceled at any moment of their launch or life: nothing of them is left anywhere."""

from __future__ import annotations

import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.lab.fleet import Fleet, Run
from tests.lab.command import wait_until
from tests.lab.pytorch import PLACE

ROUNDS = int(os.environ.get("MUSTER_CANCELED_LAUNCHES", "4"))
LONGEST_S = 8.0
"""About how long a launch takes here, on a machine that does other things as well; then the job runs."""
PATIENCE_S = 180
STUBBORN = "trap '' TERM; setsid --fork sleep 600; while :; do sleep 1; done"
TRACES = """
cd /var/lib/muster
for lock in locks/*; do [ -e "$lock" ] && ! flock --nonblock "$lock" true && echo "held: $lock"; done
find jobs -mindepth 1 -maxdepth 1 -name '.*'; find jobs run -name '*.new' -o -path 'run/*'
ss --no-header --tcp --numeric state listening state established 'sport >= 20000 and sport < 30000'
true
"""
"""What a job that is over may not leave on a node: locks, half-made directories, files of a start, open ports."""
ASK_NVML = """
import sys
sys.path.insert(0, "/var/lib/muster/bin/muster-agent.pyz")
import pynvml
pynvml.nvmlInit()
for index in range(pynvml.nvmlDeviceGetCount()):
    for process in pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(index)):
        print(process.pid)
"""
"""Prints the processes that NVML knows on this node's GPUs."""


def muster(fleet: Fleet, *words: str) -> Run:
    return fleet.run(sys.executable, "-m", "muster.cli", *words)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_nothing_is_left(fleet: Fleet, turn: int) -> None:
    job = {"name": "storm", "command": ["sh", "-c", STUBBORN], "nodes": 4, "grace_s": 1}
    assert fleet.play("sync", on=4).rc == 0
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(fleet.play, "launch", job=job, on=4)
        time.sleep(random.Random(turn).uniform(0.0, LONGEST_S))
        while not launch.done():
            said = muster(fleet, "cancel", "storm")
            assert said.rc == 0 or "there is no job storm" in said.out, said.out
            time.sleep(0.2)
        told = launch.result()
    assert told.rc != 0, told.out
    assert "Traceback" not in told.out
    for row in fleet.table("jobs"):
        assert row["state"] == "CANCELED", told.out
        assert fleet.remains(row) == []
    assert fleet.table("leases") == []
    assert {node: fleet.shell(node, TRACES) for node in fleet.lab.nodes} == dict.fromkeys(fleet.lab.nodes, "")
    assert set(fleet.statuses().values()) == {"idle"}
    assert muster(fleet, "verify").rc == 0


def test_what_is_looked_for_can_be_found(fleet: Fleet) -> None:
    job = {"name": "there", "command": ["sleep", "600"], "nodes": 3}
    assert fleet.play("launch", job=job, muster_wait=False).rc == 0
    traces = fleet.shell("n001", TRACES)
    assert "held: locks/slot-0" in traces
    assert str(fleet.job("there")["attempts"][-1]["plan"]["link_port"]) in traces
    assert muster(fleet, "cancel", "there").rc == 0
    assert fleet.shell("n001", TRACES) == ""


def test_a_job_under_torchrun_is_gone_with_all_that_it_started(torch_fleet: Fleet) -> None:
    for node, gpus in (("n001", 2), ("n002", 1)):
        torch_fleet.lab.give_gpus(node, gpus).set("processes", "visible", gpu="*")
    job = {"name": "elastic", "command": ["sh", "-c", f"echo there; {STUBBORN}"], "gpus": 3, "grace_s": 1}
    job |= {"launcher": "torchrun", "env": {"PATH": f"{PLACE}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
    assert torch_fleet.play("launch", job=job, muster_wait=False).rc == 0
    running = torch_fleet.job("elastic")

    def all_are_there() -> bool:
        return sum(text.count("there\n") for text in torch_fleet.logs(running).values()) == 3

    wait_until(all_are_there, PATIENCE_S, "all ranks are there", 0.2)
    there = torch_fleet.processes(running, torch_fleet.lab.nodes)
    assert len(there) > 10, "torchruns, workers, and what they have put into sessions of its own"
    assert len(on_gpus(torch_fleet, "n001")) >= 5 and len(on_gpus(torch_fleet, "n002")) >= 3
    done = muster(torch_fleet, "cancel", "elastic")
    assert done.rc == 0, done.out
    assert torch_fleet.remains(running) == []
    assert (on_gpus(torch_fleet, "n001"), on_gpus(torch_fleet, "n002")) == ([], [])
    assert [torch_fleet.shell(node, TRACES) for node in torch_fleet.lab.nodes] == [""] * 4


def on_gpus(fleet: Fleet, node: str) -> list[str]:
    """The processes that NVML knows on a node's GPUs."""
    return fleet.shell(node, f"python3 -c '{ASK_NVML}'").split()
