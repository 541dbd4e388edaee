# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify.yml on real nodes: silent where all is as it is to be, and by name where a node is broken."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest
from muster.agent.version import VERSION_FILE

from tests.fakenvml import FakeNvml
from tests.integration.lab.fleet import Fleet, Run
from tests.integration.lab.watching import QUICK, UNIT, become
from tests.lab import faults

AGENT = "var/lib/muster/bin/muster-agent.pyz"
FACTS = 13
BY_STATE = 2
"""Facts for which only verify.yml knows what is to be."""
OWN = "MUSTER_STATE_DIR=/var/lib/muster"
"""Else tests on this machine that look for their own orphans would see these as well."""
OLDER = """
import json
path = "/run/muster/report.json"
report = json.load(open(path))
report["boottime_s"] -= 1000
json.dump(report, open(path, "w"))
"""
FAST_CLOCK = """#!/bin/sh
exec /bin/date -d '+90 seconds' "$@"
"""


class Node(NamedTuple):
    """What is broken, and with what."""

    fleet: Fleet
    gpus: FakeNvml
    name: str

    def shell(self, script: str) -> None:
        self.fleet.shell(self.name, script)

    def ails(self, check: str) -> None:
        become(self.fleet, {self.name: ("unhealthy", check)})


Way = Callable[[Node], Iterator[None]]


def no_way_in(node: Node) -> Iterator[None]:
    faults.inject("refuse", node.fleet.lab[node.name])
    yield
    faults.heal(node.fleet.lab[node.name])


def no_python(node: Node) -> Iterator[None]:
    node.shell("mv /usr/bin/python3 /usr/bin/python3.away")
    yield
    node.shell("mv /usr/bin/python3.away /usr/bin/python3")


def another_agent(node: Node) -> Iterator[None]:
    path = node.fleet.lab[node.name].root / AGENT
    ours = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (content | {VERSION_FILE: b"0.0.9+0ld0ne00"}).items():
            archive.writestr(name, data)
    yield
    path.write_bytes(ours)


def agent_that_all_may_write(node: Node) -> Iterator[None]:
    node.shell(f"chmod 0666 /{AGENT}")
    yield
    node.shell(f"chmod 0644 /{AGENT}")


def not_enabled(node: Node) -> Iterator[None]:
    node.shell(f"systemctl disable {UNIT}")
    yield
    node.shell(f"systemctl enable {UNIT}")


def stopped(node: Node) -> Iterator[None]:
    node.shell(f"systemctl stop {UNIT}")
    yield
    node.shell(f"systemctl start {UNIT}")


def asleep(node: Node) -> Iterator[None]:
    # Else systemd would end it soon, as one that hangs.
    node.shell("systemctl service-watchdogs no")
    node.shell(f"systemctl kill --kill-who=main --signal=STOP {UNIT}")
    node.shell(f"python3 -c '{OLDER}'")
    yield
    node.shell(f"systemctl kill --kill-who=main --signal=CONT {UNIT}")
    node.shell("systemctl service-watchdogs yes")


def ill(node: Node) -> Iterator[None]:
    node.gpus.set("temperature", 94, gpu=1)
    node.ails("gpu.temperature")
    yield
    node.gpus.clear("temperature", gpu=1)


def a_gpu_less(node: Node) -> Iterator[None]:
    node.gpus.set("present", 0, gpu=1)
    node.ails("gpu.count")
    yield
    node.gpus.clear("present", gpu=1)


def disk_full(node: Node) -> Iterator[None]:
    faults.inject("fill", node.fleet.lab[node.name])
    node.ails("disk.free")
    yield
    faults.heal(node.fleet.lab[node.name])


def fast_clock(node: Node) -> Iterator[None]:
    shim = node.fleet.lab[node.name].root / "usr/local/bin/date"
    shim.write_text(FAST_CLOCK)
    shim.chmod(0o755)
    yield
    shim.unlink()


def orphan(node: Node) -> Iterator[None]:
    environment = f"MUSTER_JOB_ID=0gone000 MUSTER_ATTEMPT=1 MUSTER_NODE={node.name} {OWN}"
    node.shell(f"systemd-run --quiet --unit=orphan env {environment} sleep 600")
    yield
    node.shell("systemctl stop orphan")


# A way to break a node, what verify.yml is to name, and what it is to say. A monitor sees some of it as well.
ROUNDS: list[list[tuple[Way, set[str], str]]] = [
    [
        (no_way_in, {"ssh"}, "refused"),
        (no_python, {"python"}, "/usr/bin/python3 cannot be run"),
        (another_agent, {"agent"}, "the agent is 0.0.9+0ld0ne00 and not "),
        (
            agent_that_all_may_write,
            {"file_modes"},
            f"others may write to /{AGENT} (mode 666)",
        ),
    ],
    [
        (not_enabled, {"monitor_enabled"}, "muster-monitor.service is not started at boot"),
        (stopped, {"monitor_running"}, "muster-monitor.service does not run"),
        (asleep, {"report"}, "the monitor's last report is 10"),
        (ill, {"health"}, "it is unhealthy: GPU 1 has 94 degrees"),
    ],
    [
        (a_gpu_less, {"gpus", "health"}, "it has 1 GPUs and not the 2 of the state"),
        (disk_full, {"disk", "health"}, "0.0 GB are free below /var/lib/muster"),
        (fast_clock, {"clock"}, "s ahead of ours"),
        (orphan, {"no_orphan_rank"}, "1 process of what is over"),
    ],
]


@contextmanager
def broken(node: Node, way: Way) -> Iterator[None]:
    course = way(node)
    next(course)
    try:
        yield
    finally:
        next(course, None)


def verify(fleet: Fleet, *words: str) -> tuple[Run, dict[str, dict[str, str]]]:
    """What was printed, and what failed by node and fact, as JUnit XML has it."""
    junit = fleet.directory / "verify.xml"
    done = fleet.play("verify", *words, on=4, muster_health=QUICK, muster_verify_junit=str(junit))
    failed: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        fact, _bracket, node = case.attrib["name"].removeprefix("test_").rstrip("]").partition("[muster://")
        for found in (*case.findall("failure"), *case.findall("error")):
            failed.setdefault(node, {})[fact] = found.attrib["message"]
    return done, failed


def test_nodes_are_as_they_are_to_be(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    become(fleet, dict.fromkeys(gpus, ("healthy", "")))
    done, failed = verify(fleet, "-v")
    assert (done.rc, failed) == (0, {}), done.out
    assert "4 nodes as they are to be" in done.said
    assert f"passed: {4 * FACTS}" in done.said, done.out
    inventory = fleet.inventory(4, muster_health=QUICK)
    words = ("--hosts=ansible://muster_nodes", f"--ansible-inventory={inventory}", "-p", "no:cacheprovider")
    alone = fleet.run(sys.executable, "-m", "pytest", "tests/testinfra", *words)
    assert alone.rc == 0, alone.out
    assert f"{4 * (FACTS - BY_STATE)} passed, {4 * BY_STATE} skipped" in alone.out


@pytest.mark.parametrize("ways", ROUNDS, ids=["way in", "monitor", "node"])
def test_a_node_that_is_broken_is_named_with_what_is_wrong(
    fleet: Fleet, gpus: dict[str, FakeNvml], ways: list[tuple[Way, set[str], str]]
) -> None:
    become(fleet, dict.fromkeys(gpus, ("healthy", "")))
    nodes = [Node(fleet, gpus[name], name) for name in gpus]
    with ExitStack() as stack:
        for node, (way, _facts, _told) in zip(nodes, ways, strict=True):
            stack.enter_context(broken(node, way))
        done, failed = verify(fleet)
    assert done.rc == 2, done.out
    assert {node: set(facts) for node, facts in failed.items()} == {
        node.name: facts for node, (_way, facts, _told) in zip(nodes, ways, strict=True)
    }, json.dumps(failed, indent=1)
    for node, (_way, facts, told) in zip(nodes, ways, strict=True):
        fact = next(iter(sorted(facts - {"health"} or facts)))
        assert told in failed[node.name][fact]
        assert told in done.said
    become(fleet, dict.fromkeys(gpus, ("healthy", "")))
    mended, failed = verify(fleet)
    assert (mended.rc, failed) == (0, {}), mended.out


def test_what_runs_is_no_orphan_and_what_an_attempt_before_it_has_left_is(
    fleet: Fleet, gpus: dict[str, FakeNvml]
) -> None:
    become(fleet, dict.fromkeys(gpus, ("healthy", "")))
    job = {"name": "long", "command": ["sleep", "600"], "nodes": 4}
    assert fleet.play("launch", on=4, job=job, muster_wait=False).rc == 0
    done, failed = verify(fleet)
    assert (done.rc, failed) == (0, {}), done.out
    known = fleet.job("long")["id"]
    fleet.shell("n003", f"systemd-run -q --unit=orphan env MUSTER_JOB_ID={known} MUSTER_ATTEMPT=0 {OWN} sleep 600")
    done, failed = verify(fleet)
    assert {node: set(facts) for node, facts in failed.items()} == {"n003": {"no_orphan_rank"}}, done.out
    assert f"of job {known}, attempt 0" in done.said
    fleet.shell("n003", "systemctl stop orphan")
    assert fleet.run(sys.executable, "-m", "muster.cli", "cancel", known).rc == 0


def test_nodes_are_left_as_they_are(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    fleet.shell("n002", f"rm /{AGENT}")
    before = fleet.nodes()
    done, failed = verify(fleet)
    assert failed == {"n002": {"agent": f"Failed: /{AGENT} is missing: run provision.yml"}}, done.out
    assert not (fleet.lab["n002"].root / AGENT).exists()
    assert fleet.nodes() == before
