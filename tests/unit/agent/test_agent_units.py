# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On real nodes with systemd, called over ssh: the supervisor is a unit of its own."""

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from muster.agent import package

from tests.lab import Lab
from tests.unit.agent.node import Document, Node, gang, python, start_all, until

SLEEP = ["sleep", "600"]
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


class LabNode(Node):
    """A node of the lab, called as its user over ssh."""

    def __init__(self, lab: Lab, name: str, user: str, state_dir: str) -> None:
        super().__init__(name, lab[name].root / state_dir.lstrip("/"))
        self.lab = lab
        self.user = user
        self.remote_state_dir = state_dir

    def command(self, *words: object) -> list[str]:
        line = ["python3", "-I", "-S", f"{self.remote_state_dir}/bin/muster-agent.pyz", *map(str, words)]
        return self.lab.network.command("ssh", "-F", self.lab.ssh_config, "-l", self.user, self.name, shlex.join(line))

    def spec(self, *commands: Any, **changes: Any) -> Document:
        spec = super().spec(*commands, **{"user": "ops", **changes})
        spec["gate"].update(address=self.lab[self.name].address, port=20001)
        return spec

    def kill_supervisor(self, spec: Document) -> None:
        self.here("kill", "-9", str(self.status(spec)["supervisor"]["pid"]))

    def here(self, *argv: str) -> str:
        """Return what a command writes that root runs in the node, not over ssh."""
        return self.lab.execute(self.name, *argv).stdout

    def units_are_gone(self) -> bool:
        return self.here("systemctl", "list-units", "--all", "--no-legend", "muster-*") == ""


@pytest.fixture
def make_lab_node(lab: Lab) -> Iterator[Callable[..., LabNode]]:
    made = []

    def make(name: str, user: str = "root", state_dir: str = "/var/lib/muster") -> LabNode:
        node = LabNode(lab, name, user, state_dir)
        lab.execute(name, "install", "-d", "-o", user, state_dir, f"{state_dir}/bin")
        node.agent_file.write_bytes(package.build())
        made.append(node)
        return node

    yield make
    for node in made:
        node.clear()
    for node in made:
        until(node.units_are_gone, "systemd has forgotten the units")
        assert node.here("ls", f"{node.remote_state_dir}/run") == ""
        node.here("rm", "-r", node.remote_state_dir)


@pytest.fixture
def lab_node(make_lab_node: Callable[..., LabNode]) -> LabNode:
    return make_lab_node("n001")


def test_the_supervisor_and_its_ranks_live_in_a_unit_and_not_in_the_connection(lab_node: LabNode) -> None:
    spec = lab_node.spec(
        ["sh", "-c", "cat /proc/self/cgroup; id -un; sleep 600"], addresses={"n002": lab_node.lab["n002"].address}
    )
    answer = lab_node.start(spec)
    unit = answer.attempt["supervisor"]["unit"]
    assert unit == f"muster-{spec['job']}-1.service"
    lines = until(lambda: (text := lab_node.log(spec)).endswith("ops\n") and text, "the rank has written").splitlines()
    assert f"0::/system.slice/{unit}" in lines
    assert lab_node.here("systemctl", "is-active", unit) == "active\n"
    lab_node.stop(spec)
    until(lambda: lab_node.here("systemctl", "is-active", unit) != "active\n", "the unit has ended")


def test_the_interface_that_leads_to_the_peers_is_found(lab_node: LabNode) -> None:
    spec = lab_node.spec(["env"], addresses={"n002": lab_node.lab["n002"].address})
    lab_node.start(spec)
    lab_node.ended(spec)
    assert {"NCCL_SOCKET_IFNAME=host0", "GLOO_SOCKET_IFNAME=host0"} <= set(lab_node.log(spec).splitlines())


def test_systemd_ends_the_ranks_of_a_supervisor_that_was_killed(lab_node: LabNode) -> None:
    spec = lab_node.spec(python(DEAF), slots=[0], grace_s=0)
    spec["processes"][0]["command"][0] = "python3"
    lab_node.start(spec)
    until(lambda: lab_node.log(spec), "the rank ignores SIGTERM")
    lab_node.kill_supervisor(spec)
    assert lab_node.status(spec)["state"] == "lost"
    until(lambda: lab_node.status(spec)["left"] == 0, "systemd has ended the rank")


def test_a_rank_that_the_kernel_killed_for_its_memory_is_told_apart(lab_node: LabNode) -> None:
    eat = "import sys\nsys.stdin = open('/tmp/eat')\nsys.stdin.read()\nb = bytearray(500 << 20)"
    lab_node.here("sh", "-c", "rm -f /tmp/eat; mkfifo -m 666 /tmp/eat")
    spec = lab_node.spec(SLEEP, ["python3", "-c", eat])
    unit = lab_node.start(spec).attempt["supervisor"]["unit"]
    lab_node.here("systemctl", "set-property", "--runtime", unit, "MemoryMax=100M", "MemorySwapMax=0")
    lab_node.here("sh", "-c", "echo > /tmp/eat")
    failure = lab_node.ended(spec)["failure"]
    assert (failure["rank"], failure["oom"]) == (1, True)
    assert failure["reason"] == "killed by SIGKILL (out of memory)"
    again = lab_node.spec(SLEEP)
    rank = lab_node.start(again).attempt["ranks"][0]["pid"]
    lab_node.here("kill", "-9", str(rank))
    assert lab_node.ended(again)["failure"]["reason"] == "killed by SIGKILL"


def test_stopping_the_unit_stops_the_job(lab_node: LabNode) -> None:
    spec = lab_node.spec(SLEEP)
    lab_node.here("systemctl", "stop", lab_node.start(spec).attempt["supervisor"]["unit"])
    assert lab_node.status(spec)["state"] == "canceled"


def test_starts_at_the_same_moment_make_one_unit(lab_node: LabNode) -> None:
    spec = lab_node.spec(SLEEP, slots=[0])
    calls = [lab_node.begin("start", stdin=json.dumps(spec).encode()) for _call in range(4)]
    answers = [lab_node.finish(call) for call in calls]
    assert [answer.exit_code for answer in answers] == [0] * 4
    assert len({answer.attempt["supervisor"]["pid"] for answer in answers}) == 1


def test_a_refused_start_leaves_no_unit_and_no_file(lab_node: LabNode) -> None:
    answer = lab_node.start(lab_node.spec(["true"], cwd="/no/such/place"))
    assert answer.codes() == [("n001", "cwd_missing")]
    assert lab_node.here("ls", "/var/lib/muster/jobs", "/var/lib/muster/run").split() == [
        "/var/lib/muster/jobs:",
        "/var/lib/muster/run:",
    ]


def test_nodes_that_share_a_machine_have_units_of_their_own(make_lab_node: Callable[..., LabNode]) -> None:
    nodes = [make_lab_node("n001", state_dir=place) for place in ("/srv/one", "/srv/two")]
    first = nodes[0].spec(SLEEP)
    second = {**first, "gate": {**first["gate"], "port": 20002}}
    units = [node.start(spec).attempt["supervisor"]["unit"] for node, spec in zip(nodes, (first, second), strict=True)]
    assert units[0] != units[1]
    nodes[0].stop(first)
    assert nodes[1].status(second)["state"] == "running"


def test_a_user_without_root_runs_jobs_too(make_lab_node: Callable[..., LabNode]) -> None:
    node = make_lab_node("n001", user="ops", state_dir="/srv/ops")
    spec = node.spec(["sh", "-c", "id -un; sleep 600"], user=None)
    assert node.start(spec).attempt["supervisor"]["unit"] is None
    until(lambda: node.log(spec) == "ops\n", "the rank has written")
    assert node.stop(spec).attempt["state"] == "canceled"


def test_a_job_survives_the_connection_that_started_it(make_lab_node: Callable[..., LabNode]) -> None:
    nodes = [make_lab_node(name) for name in ("n001", "n002")]
    specs = gang(nodes, SLEEP, linked=True)
    for spec in specs:
        spec["addresses"] = {node.name: node.lab[node.name].address for node in nodes}
    cut = nodes[0].begin("start", stdin=json.dumps(specs[0]).encode())
    record = Path(nodes[0].directory(specs[0]) / "status.json")
    until(record.exists, "the supervisor waits at the gate")
    cut.kill()
    cut.communicate()
    assert start_all(nodes[1:], specs[1:])[0].exit_code == 0
    until(lambda: nodes[0].status(specs[0])["state"] == "running", "both run")
