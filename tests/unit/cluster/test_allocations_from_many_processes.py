# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launches from several terminals at the same moment: no slot, GPU or port is ever given twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from muster.cluster import Cluster
from muster.store import DirectoryStore

from tests.unit.samples import facts

ROUNDS = 50

RACER = """
import sys
from pathlib import Path
from muster.cluster import Cluster
from muster.model import JobSpec, NoCapacity
from muster.store import DirectoryStore
cluster = Cluster(DirectoryStore(Path(sys.argv[1])), actor=f"terminal {sys.argv[2]}")
print("ready", flush=True)
for line in sys.stdin:
    size = {"gpus": 3} if int(line) % 2 else {"slots": 2}
    try:
        job, plan = cluster.allocate(JobSpec(name=f"race{sys.argv[2]}", command=["true"], **size))
        print(job.id, job.attempt.epoch, flush=True)
    except NoCapacity:
        print("full", flush=True)
"""


def test_fifty_races_of_two_launches_never_share_anything(tmp_path: Path) -> None:
    cluster = Cluster(DirectoryStore(tmp_path), actor="referee")
    cluster.sync_nodes([facts("g1", gpu=2), facts("g2", gpu=3), facts("c1", slots=2), facts("c2", slots=1)])
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for number in range(ROUNDS):
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(f"{number}\n")
                racer.stdin.flush()
            answers = [racer.stdout.readline().split() for racer in racers if racer.stdout is not None]
            check_and_clear(cluster, answers)
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def check_and_clear(cluster: Cluster, answers: list[list[str]]) -> None:
    winners = [answer for answer in answers if answer != ["full"]]
    assert len(winners) == 1, "five GPUs hold one job of three, three slots one job of two"
    leases = cluster.leases()
    held = [(lease.node, part) for lease in leases for part in (*lease.gpus, *lease.slots)]
    assert len(held) == len(set(held))
    assert {lease.job for lease in leases} == {job for job, _epoch in winners}
    assert len({job["id"] for job in cluster.view().jobs}) == len(winners), "who lost left nothing behind"
    for job, epoch in winners:
        cluster.withdraw(job, int(epoch))


def test_two_launches_that_both_fit_get_different_parts(tmp_path: Path) -> None:
    cluster = Cluster(DirectoryStore(tmp_path), actor="referee")
    cluster.sync_nodes([facts("g1", gpu=8)])
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    for racer in racers:
        racer.communicate("1\n")
    leases = cluster.leases()
    assert len(leases) == 2
    assert len({uuid for lease in leases for uuid in lease.gpus}) == 6
    assert len({lease.port for lease in leases}) == 2
    assert len({lease.epoch for lease in leases}) == 2
