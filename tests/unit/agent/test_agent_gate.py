# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All nodes of a job start together or not at all. Three nodes, each with its own state directory, on one machine."""

import json
import socket
from typing import Any

import pytest
from muster.agent import doors, isolated, sockets
from muster.agent.wake import Wake

from tests.unit.agent.node import Node, free_port, gang, start_all, until

SLEEP = ["sleep", "600"]


def _nothing_is_left(nodes: list[Node]) -> None:
    for node in nodes:
        assert list((node.state_dir / "jobs").iterdir()) == []
        assert node.call("status").payload["attempts"] == []


def test_all_nodes_go_when_all_are_ready(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP)
    answers = start_all(nodes, specs)
    assert [answer.exit_code for answer in answers] == [0, 0, 0]
    assert [answer.attempt["ranks"][0]["rank"] for answer in answers] == [0, 1, 2]


def test_it_does_not_matter_who_comes_first(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP)
    calls = []
    for node, spec in reversed(list(zip(nodes, specs, strict=True))):
        calls.append((node, node.begin("start", stdin=json.dumps(spec).encode())))
        until(lambda node=node, spec=spec: node.directory(spec).exists(), "the supervisor is there")
    assert [node.finish(call).exit_code for node, call in calls] == [0, 0, 0]


def test_a_problem_of_one_node_keeps_all_from_starting_and_all_are_told_whose_it_is(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP)
    specs[1]["cwd"] = "/no/such/place"
    answers = start_all(nodes, specs)
    for answer in answers:
        assert answer.exit_code == 69
        assert answer.codes() == [("n2", "cwd_missing")]
    _nothing_is_left(nodes)


def test_the_problems_of_all_nodes_are_told_together(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP, cwd="/no/such/place")
    for answer in start_all(nodes, specs):
        assert sorted(answer.codes()) == [("n1", "cwd_missing"), ("n2", "cwd_missing"), ("n3", "cwd_missing")]
        assert "and 2 more problems" in answer.error["message"]
    _nothing_is_left(nodes)


def test_after_a_refusal_the_same_attempt_can_be_started(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP, slots=[0])
    good = [dict(spec) for spec in specs]
    specs[2]["cwd"] = "/no/such/place"
    assert [answer.exit_code for answer in start_all(nodes, specs)] == [69, 69, 69]
    assert [answer.exit_code for answer in start_all(nodes, good)] == [0, 0, 0]


def test_a_node_that_does_not_come_is_named(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP, gate={"timeout_s": 8})
    for answer in start_all(nodes[:2], specs[:2]):
        assert answer.codes() == [("n3", "gate_timeout")]
        assert "n3 did not report to n1 at 127.0.0.1" in answer.error["message"]
    _nothing_is_left(nodes[:2])


def test_a_node_that_cannot_reach_the_gate_says_so(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP, gate={"timeout_s": 8})
    specs[2]["gate"] = {**specs[2]["gate"], "port": free_port()}
    answers = start_all(nodes, specs)
    assert answers[2].codes() == [("n3", "gate_unreachable")]
    message = answers[2].error["message"]
    assert message.startswith("n3 cannot reach n1 at 127.0.0.1:")
    assert "connection refused" in message
    assert "firewall, or muster_address/muster_interface wrong?" in message
    assert [answer.codes() for answer in answers[:2]] == [[("n3", "gate_timeout")]] * 2
    _nothing_is_left(nodes)


def test_another_program_on_the_port_lets_nobody_start(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP, gate={"timeout_s": 1})
    with socket.create_server(("127.0.0.1", specs[0]["gate"]["port"])) as other:
        calls = [node.begin("start", stdin=json.dumps(spec).encode()) for node, spec in zip(nodes, specs, strict=True)]
        for _node in nodes[1:]:
            connection = other.accept()[0]
            connection.sendall(b"SSH-2.0-something else\r\n")
            connection.close()
        answers = [node.finish(call) for node, call in zip(nodes, calls, strict=True)]
    assert answers[0].codes() == [("n1", "port_taken")]
    assert [answer.codes() for answer in answers[1:]] == [[("n2", "gate_unreachable")], [("n3", "gate_unreachable")]]
    assert "another program answers there" in answers[1].error["message"]
    _nothing_is_left(nodes)


def test_strangers_at_the_gate_change_nothing(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP)
    call = nodes[0].begin("start", stdin=json.dumps(specs[0]).encode())
    address = ("127.0.0.1", specs[0]["gate"]["port"])

    def connection() -> socket.socket | None:
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:
            return None

    reports: list[Any] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b'{"token": "wrong", "node": "n2", "problems": []}\n',
        json.dumps({"token": specs[0]["gate"]["token"], "node": "n9", "problems": []}).encode() + b"\n",
    ]
    strangers = []
    for report in reports:
        stranger = until(connection, "the gate is open")
        stranger.sendall(report)
        strangers.append(stranger)
    answers = start_all(nodes[1:], specs[1:])
    assert [answer.exit_code for answer in [nodes[0].finish(call), *answers]] == [0, 0, 0]
    for stranger in strangers:
        stranger.close()


def test_a_stop_while_the_gate_waits_means_that_nobody_starts(nodes: list[Node]) -> None:
    specs = gang(nodes, SLEEP)
    calls = [nodes[0].begin("start", stdin=json.dumps(specs[0]).encode())]
    calls.append(nodes[1].begin("start", stdin=json.dumps(specs[1]).encode()))
    for node, spec in zip(nodes[:2], specs, strict=False):
        until(lambda node=node, spec=spec: node.directory(spec).exists(), "the supervisor is there")
    assert nodes[0].stop(specs[0]).exit_code == 0
    assert nodes[1].stop(specs[1]).exit_code == 0
    for node, call in zip(nodes, calls, strict=False):
        answer = node.finish(call)
        assert answer.exit_code == 69
        assert answer.attempt["state"] == "refused"
        assert {code for _node, code in answer.codes()} == {"canceled"}
    _nothing_is_left(nodes[:2])


def test_a_node_that_withdraws_from_the_gate_ends_the_wait_of_the_others(nodes: list[Node]) -> None:
    specs = gang(nodes[:2], SLEEP)
    for spec in specs:
        spec["gate"]["nodes"] = ["n1", "n2", "n3"]
        spec["addresses"]["n3"] = "127.0.0.1"
    calls = [node.begin("start", stdin=json.dumps(spec).encode()) for node, spec in zip(nodes[:2], specs, strict=True)]
    until(lambda: _connected(specs[1]["gate"]["port"]), "n2 has reported")
    nodes[1].stop(specs[1])
    answers = [node.finish(call) for node, call in zip(nodes[:2], calls, strict=True)]
    assert ("n2", "canceled") in answers[0].codes()
    assert answers[1].codes() == [("n2", "canceled")]
    _nothing_is_left(nodes[:2])


def _connected(port: int) -> bool:
    """Whether someone holds a connection to this port of the loopback interface."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    return any(row[2] == f"0100007F:{port:04X}" and row[3] == "01" for row in rows[1:])


class TestDoors:
    """What one node cannot reach, its ranks could not either."""

    def test_a_pair_that_cannot_reach_each_other_keeps_all_from_starting_and_is_named(self, nodes: list[Node]) -> None:
        specs = gang(nodes, SLEEP)
        specs[0]["addresses"]["n3"] = "::1"  # where its door, which is one of IPv4, is not
        for answer in start_all(nodes, specs):
            assert answer.exit_code == 69
            assert sorted(answer.codes()) == [("n1", "pair_unreachable"), ("n2", "pair_unreachable")]
            told = [problem["message"] for problem in answer.attempt["problems"]]
            for node, sentence in zip(("n1", "n2"), sorted(told), strict=True):
                assert sentence.startswith(
                    f"{node} cannot reach n3 at ::1 (connection refused): a firewall between them"
                )
        _nothing_is_left(nodes)

    def test_they_are_left_alone_when_that_is_wanted(self, nodes: list[Node]) -> None:
        specs = gang(nodes, SLEEP, preflight=False)
        specs[0]["addresses"]["n3"] = "::1"
        assert [answer.exit_code for answer in start_all(nodes, specs)] == [0, 0, 0]

    def test_a_node_that_leaves_before_it_has_tried_them_keeps_all_from_starting(self, nodes: list[Node]) -> None:
        specs = gang(nodes[:2], SLEEP, gate={"timeout_s": 5})
        for spec in specs:
            spec["gate"]["nodes"] = ["n1", "n2", "n3"]
            spec["addresses"]["n3"] = "127.0.0.1"
        calls = [
            node.begin("start", stdin=json.dumps(spec).encode()) for node, spec in zip(nodes[:2], specs, strict=True)
        ]
        gate = specs[0]["gate"]
        with socket.socket() as leaving:
            until(lambda: leaving.connect_ex(("127.0.0.1", gate["port"])) == 0, "the gate is there")
            report = {"token": gate["token"], "node": "n3", "problems": [], "door": gate["port"]}
            leaving.sendall(json.dumps(report).encode() + b"\n")
            assert b'"doors"' in leaving.recv(65536)
        for node, call in zip(nodes[:2], calls, strict=True):
            answer = node.finish(call)
            assert answer.codes() == [("n3", "gate_timeout")]
            assert "n3 did not say which nodes it reaches" in answer.error["message"]
        _nothing_is_left(nodes[:2])

    @pytest.mark.parametrize(("node", "tries"), [("n0", 39), ("n1", 1), ("n39", 1)])
    def test_of_many_nodes_each_tries_that_of_rank_0_and_that_one_tries_all(self, node: str, tries: int) -> None:
        names = [f"n{number}" for number in range(40)]
        closed = free_port()

        def try_them() -> Any:
            waiter = sockets.Waiter(Wake(), lambda: False)
            places = {name: ("127.0.0.1", closed) for name in names}
            return doors.tried({"node": node, "gate": {"node": "n0"}}, places, waiter)

        found = isolated.ask(try_them, 30)  # in a process of its own, whose signals are the waiter's
        assert len(found) == tries
        assert {problem["code"] for problem in found} == {"pair_unreachable"}
