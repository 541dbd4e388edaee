# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The supervisors of a job tell each other how it goes: when one part ends badly the others end as well, and nobody
has to look. Three nodes, each with its own state directory, on one machine."""

import contextlib
import errno
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.unit.agent.node import Document, Node, alive, gang, python, start_all, until

PATIENCE_S = 15.0
SILENT_S = 15.0
"""Longer than a node may be silent that does not answer keepalives."""
SLEEP = ["sleep", "600"]
DEAF = python("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
FAILS_WHEN_TOLD = python(
    "import os, sys, time\n"
    "while not os.path.exists(sys.argv[1] + os.environ['RANK']): time.sleep(0.02)\n"
    "sys.exit(int(open(sys.argv[1] + os.environ['RANK']).read() or 0))"
)


@pytest.fixture
def signs(tmp_path: Path) -> str:
    """What the paths begin with whose files end ranks: `<signs><rank>` has the exit code."""
    return str(tmp_path / "end-of-rank-")


def linked(nodes: list[Node], command: list[str], **changes: object) -> list[Document]:
    """Start a job on all nodes; its specs."""
    specs = gang(nodes, command, linked=True, **changes)
    for number, spec in enumerate(specs):
        spec["processes"][0]["env"]["RANK"] = str(number)
    assert [answer.exit_code for answer in start_all(nodes, specs)] == [0] * len(nodes)
    return specs


def told(signs: str, rank: int, code: int) -> None:
    Path(f"{signs}.new").write_text(str(code))
    os.rename(f"{signs}.new", f"{signs}{rank}")


def pids(nodes: list[Node], specs: list[Document]) -> list[int]:
    """The supervisor and the rank of each node."""
    found = [node.status(spec) for node, spec in zip(nodes, specs, strict=True)]
    return [pid for status in found for pid in (status["supervisor"]["pid"], status["ranks"][0]["pid"])]


@pytest.mark.parametrize("failing", [0, 2], ids=["of the hub", "of another node"])
def test_when_a_rank_fails_all_others_end_and_say_whose_fault_it_was(
    nodes: list[Node], signs: str, failing: int
) -> None:
    specs = linked(nodes, [*FAILS_WHEN_TOLD, signs])
    processes = pids(nodes, specs)
    told(signs, failing, 7)
    ends = [node.ended(spec) for node, spec in zip(nodes, specs, strict=True)]
    assert ends[failing]["state"] == "failed"
    for number, status in enumerate(ends):
        assert status["left"] == 0
        if number != failing:
            assert (status["state"], status["lost"]) == ("canceled", [])
            assert status["reason"] == f"n{failing + 1}: rank {failing}: exit code 7"
    until(lambda: not any(map(alive, processes)), "no process is left, supervisors neither")


def test_ranks_that_will_not_listen_are_killed_within_the_grace_of_an_abort(nodes: list[Node], signs: str) -> None:
    specs = gang(nodes, DEAF, linked=True, grace_s=3600)
    specs[1]["processes"][0]["command"] = [*FAILS_WHEN_TOLD, signs]
    specs[1]["processes"][0]["env"]["RANK"] = "1"
    assert [answer.exit_code for answer in start_all(nodes, specs)] == [0, 0, 0]
    told(signs, 1, 1)
    for node, spec in zip(nodes, specs, strict=True):
        assert node.ended(spec)["left"] == 0


def test_a_time_limit_and_a_stop_leave_all_ranks_the_time_to_save_what_they_have(nodes: list[Node]) -> None:
    saves = python(
        "import signal, time\n"
        "def save(*_):\n    time.sleep(4); print('saved', flush=True); raise SystemExit\n"
        "signal.signal(signal.SIGTERM, save); print('ready', flush=True); time.sleep(600)"
    )
    for limit in (8, None):
        specs = gang(nodes, saves, linked=True, grace_s=60, time_limit_s=limit)
        assert [answer.exit_code for answer in start_all(nodes, specs)] == [0, 0, 0]
        parts = list(zip(range(3), nodes, specs, strict=True))
        for rank, node, spec in parts:
            until(lambda rank=rank, node=node, spec=spec: "ready" in node.log(spec, rank), "the rank is ready")
        if limit is None:
            nodes[2].stop(specs[2])
        for rank, node, spec in parts:
            assert node.ended(spec)["left"] == 0
            assert node.log(spec, rank) == "ready\nsaved\n"


@pytest.mark.parametrize("dying", [0, 1], ids=["of the hub", "of another node"])
def test_when_a_supervisor_dies_all_others_end_and_name_the_node(nodes: list[Node], dying: int) -> None:
    specs = linked(nodes, SLEEP)
    nodes[dying].kill_supervisor(specs[dying])
    for number, (node, spec) in enumerate(zip(nodes, specs, strict=True)):
        if number != dying:
            status = node.ended(spec)
            assert (status["state"], status["left"]) == ("canceled", 0)
            assert status["reason"].startswith(f"lost touch with n{dying + 1}: ")
            assert status["lost"] == [f"n{dying + 1}"]


def test_a_stop_of_one_part_is_one_of_all(nodes: list[Node]) -> None:
    specs = linked(nodes, SLEEP)
    nodes[1].stop(specs[1], "--reason", "ann wants the node")
    for node, spec in zip(nodes, specs, strict=True):
        assert node.ended(spec)["state"] == "canceled"
    assert nodes[2].status(specs[2])["reason"] == "n2: ann wants the node"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=["the hub first", "the hub last"])
def test_nodes_may_succeed_one_after_the_other_and_nobody_is_stopped_for_it(
    nodes: list[Node], signs: str, order: tuple[int, ...]
) -> None:
    specs = linked(nodes, [*FAILS_WHEN_TOLD, signs])
    processes = pids(nodes, specs)
    for number in order:
        told(signs, number, 0)
        status = nodes[number].ended(specs[number])
        assert (status["state"], status["left"]) == ("succeeded", 0)
    until(lambda: not any(map(alive, processes)), "the hub's supervisor ends when nobody needs it any more")


def test_who_fails_after_the_hub_has_succeeded_still_ends_the_others(nodes: list[Node], signs: str) -> None:
    specs = linked(nodes, [*FAILS_WHEN_TOLD, signs])
    told(signs, 0, 0)
    assert nodes[0].ended(specs[0])["state"] == "succeeded"
    told(signs, 1, 3)
    assert nodes[2].ended(specs[2])["reason"] == "n2: rank 1: exit code 3"
    assert nodes[0].status(specs[0])["state"] == "succeeded", "what it has done stays done"


def test_the_hub_that_waits_for_the_others_gives_its_node_free_meanwhile(nodes: list[Node], signs: str) -> None:
    specs = gang(nodes, [*FAILS_WHEN_TOLD, signs], linked=True, slots=[0])
    for number, spec in enumerate(specs):
        spec["processes"][0]["env"]["RANK"] = str(number)
    assert [answer.exit_code for answer in start_all(nodes, specs)] == [0, 0, 0]
    told(signs, 0, 0)
    nodes[0].ended(specs[0])
    following = nodes[0].spec(SLEEP, slots=[0])
    assert nodes[0].start(following).exit_code == 0
    assert alive(nodes[0].status(specs[0])["supervisor"]["pid"])


class TestOfAStranger:
    """One who comes before the nodes have, as afterwards nobody is let in."""

    def started_after(self, nodes: list[Node], specs: list[Document], lines: list[bytes]) -> list[socket.socket]:
        """Start the job, but first connect to its hub once for each line, and say it."""
        hub = nodes[0].begin("start", stdin=json.dumps(specs[0]).encode())
        strangers = []
        for line in lines:
            stranger = socket.socket()
            stranger.settimeout(PATIENCE_S)
            until(
                lambda stranger=stranger: stranger.connect_ex(("127.0.0.1", specs[0]["link_port"])) == 0, "it listens"
            )
            stranger.sendall(line)
            strangers.append(stranger)
        answers = [*start_all(nodes[1:], specs[1:]), nodes[0].finish(hub)]
        assert [answer.exit_code for answer in answers] == [0, 0, 0]
        return strangers

    def test_nothing_is_taken(self, nodes: list[Node], signs: str) -> None:
        specs = gang(nodes, [*FAILS_WHEN_TOLD, signs], linked=True)
        for number, spec in enumerate(specs):
            spec["processes"][0]["env"]["RANK"] = str(number)
        lines = [
            b"",
            b"\n",
            b"\xff\xfe\n",
            b"GET / HTTP/1.0\n",
            b'{"say": "here", "node": "n2"}\n',
            b"0" * 64 + b' {"say": "here", "node": "n2"}\n',
            b"0" * 64 + b' {"say": "here"}\n',
            b"0" * 64 + b' ["say"]\n',
            b"x" * 200000,
        ]
        for stranger in self.started_after(nodes, specs, lines):
            with stranger, contextlib.suppress(ConnectionError):  # closed before all of it was read
                assert stranger.recv(65536) == b""
        assert [node.status(spec)["state"] for node, spec in zip(nodes, specs, strict=True)] == ["running"] * 3
        told(signs, 1, 5)
        assert nodes[2].ended(specs[2])["reason"] == "n2: rank 1: exit code 5", "it is n2 who is heard"

    def test_one_who_leaves_at_once_disturbs_nobody(self, nodes: list[Node]) -> None:
        specs = gang(nodes, SLEEP, linked=True)
        for stranger in self.started_after(nodes, specs, [b"", b"hello\n"]):
            stranger.close()
        assert [node.status(spec)["state"] for node, spec in zip(nodes, specs, strict=True)] == ["running"] * 3

    def test_one_who_comes_later_is_not_let_in(self, nodes: list[Node]) -> None:
        specs = linked(nodes, SLEEP)

        def closed() -> bool:
            with socket.socket() as stranger:
                return stranger.connect_ex(("127.0.0.1", specs[0]["link_port"])) == errno.ECONNREFUSED

        until(closed, "nobody listens any more")
        assert [node.status(spec)["state"] for node, spec in zip(nodes, specs, strict=True)] == ["running"] * 3


def test_a_node_that_passed_the_gate_and_is_not_linked_is_lost(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP, linked=True)
    specs[2]["link_port"] = None
    assert [answer.exit_code for answer in start_all(nodes, specs)] == [0, 0, 0]
    for node, spec in zip(nodes[:2], specs[:2], strict=True):
        status = node.ended(spec)
        assert status["reason"] == "lost touch with n3: it did not link itself within 10 s of the start"
        assert (status["state"], status["lost"]) == ("canceled", ["n3"])


def test_a_port_that_is_taken_keeps_all_from_starting(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP, linked=True)
    with socket.socket() as squatter:
        squatter.bind(("", specs[0]["link_port"]))
        squatter.listen()
        for answer in start_all(nodes, specs):
            assert answer.exit_code == 69
            assert ("n1", "port_taken") in answer.codes()
            assert f"port {specs[0]['link_port']} of n1 cannot be used" in str(answer.attempt["problems"])


def test_a_node_that_cannot_reach_it_keeps_all_from_starting_and_is_named(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP, linked=True)
    wrong = specs[2]["link_port"] = specs[2]["link_port"] % 60000 + 1
    for answer in start_all(nodes, specs):
        assert answer.codes() == [("n3", "link_unreachable")]
        assert f"n3 cannot reach n1 at 127.0.0.1:{wrong} (connection refused)" in answer.error["message"]


def test_a_supervisor_that_has_no_time_is_not_taken_for_dead(nodes: list[Node]) -> None:
    specs = linked(nodes, SLEEP)
    busy = nodes[1].status(specs[1])["supervisor"]["pid"]
    os.kill(busy, signal.SIGSTOP)
    try:
        time.sleep(SILENT_S)  # nothing happens: that is what is to be seen
        assert [node.status(spec)["state"] for node, spec in zip(nodes, specs, strict=True)] == ["running"] * 3
    finally:
        os.kill(busy, signal.SIGCONT)


def test_the_secret_is_not_said(nodes: list[Node]) -> None:
    """Whoever listens to the network gets nothing to join with."""
    specs = gang(nodes[:2], SLEEP, linked=True)
    heard = b""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        specs[1]["link_port"] = listener.getsockname()[1]
        start = nodes[1].begin("start", stdin=json.dumps(specs[1]).encode())
        hub = nodes[0].begin("start", stdin=json.dumps(specs[0]).encode())
        connection, _address = listener.accept()
        with connection:
            heard = connection.recv(65536)
        nodes[0].finish(hub)
        nodes[1].finish(start)
    assert heard.endswith(b'{"say": "here", "node": "n2"}\n')
    assert specs[1]["gate"]["token"].encode() not in heard
