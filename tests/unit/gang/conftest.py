# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three nodes with real agents on this machine, reached without Ansible."""

from __future__ import annotations

import getpass
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from muster.agent import processes
from muster.agent.package import build, version
from muster.cluster import Cluster, open_cluster
from muster.gang import release_gang
from muster.model import Job, JobSpec, NodeFacts
from muster.remote import AgentClient, LocalTransport, Reply, Target, client_for

SLOTS = {"n1": 2, "n2": 1, "n3": 1}
PATIENCE_S = 60


class Cut:
    """A node that cannot be reached."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, command, stdin=b"", timeout_s=None, on_stdout=None) -> Reply:
        return Reply(self.name, error=f"{self.name} does not answer: no route to host", failure="unreachable")

    def close(self) -> None:
        pass


class Nodes:
    """The three nodes, whose agents are real; ``cut`` names those that cannot be reached just now."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cut: set[str] = set()
        self.dialed: list[str] = []

    def dial(self, name: str) -> AgentClient:
        self.dialed.append(name)
        target = Target(name=name, transport="local", state_dir=str(self.directory / name))
        transport = Cut(name) if name in self.cut else LocalTransport(target)
        return client_for(target, transport, version(), build)

    def status(self, name: str, job: Job) -> dict:
        """The attempt's record on a node."""
        return json.loads(
            (self.directory / name / "jobs" / f"{job.id}.{len(job.attempts)}" / "status.json").read_text()
        )

    def jobs(self) -> list[str]:
        """Every job directory that is left on a node."""
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.glob("*/jobs/*"))


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path / "nodes")


@pytest.fixture
def cluster(tmp_path: Path, nodes: Nodes) -> Iterator[Cluster]:
    """A cluster that knows the three nodes; what still runs at the end of the test is ended."""
    made = open_cluster(str(tmp_path / "state"), actor="test")
    made.sync_nodes(
        [
            NodeFacts(
                name=name, address="127.0.0.1", slots=count, interface="lo", state_dir=str(nodes.directory / name)
            )
            for name, count in SLOTS.items()
        ]
    )
    yield made
    nodes.cut.clear()
    for row in made.view().jobs:
        if row["leased"]:
            release_gang(made, nodes.dial, made.job(row["id"]), "the test is over")


def spec(script: str = "exec sleep 600", **asked: object) -> JobSpec:
    """A job that runs a shell script as whoever runs the tests, on all slots unless told otherwise."""
    size = {} if {"nodes", "slots"} & set(asked) else {"nodes": 3}
    fixed = {"name": "gang", "command": ["sh", "-c", script], "user": getpass.getuser(), "grace_s": 2}
    return JobSpec.model_validate(fixed | size | asked)


def processes_of(job: Job) -> list[int]:
    """The processes on this machine that carry the job's id in their environment."""
    mark = f"MUSTER_JOB_ID={job.id}".encode()
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and mark in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                found.append(int(entry))
        except OSError:
            continue
    return found


def kill_supervisor(nodes: Nodes, node: str, job: Job) -> None:
    """SIGKILL what supervises a job on a node; it is gone afterwards."""
    pid = nodes.status(node, job)["supervisor"]["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not ((one := processes.read(pid)) and one.alive), "the supervisor is gone")


def eventually(true: Callable[[], object], what: str) -> None:
    """Wait until ``true()``; fail after :data:`PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
