# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A start spec that is wrong is refused with what is wrong and where, before anything happens."""

import json
from typing import Any

import pytest
from muster.agent import spec as spec_module
from muster.agent.errors import AgentError

from tests.unit.agent.node import Node

ABSENT = object()


def _good() -> dict[str, Any]:
    return {
        "protocol": 1,
        "job": "0q5k2mx7d4",
        "name": "ring",
        "attempt": 1,
        "epoch": 7,
        "node": "n1",
        "node_rank": 0,
        "processes": [{"rank": 0, "local_rank": 0, "command": ["true"], "env": {}}],
        "gate": {"node": "n1", "address": "::1", "port": 20001, "nodes": ["n1"], "token": "a", "timeout_s": 60},
    }


def _sentence(text: bytes) -> str:
    with pytest.raises(AgentError) as caught:
        spec_module.parse(text)
    assert caught.value.exit_code == 65
    assert caught.value.code == "spec_invalid"
    return caught.value.message


def test_a_short_spec_is_filled_up() -> None:
    parsed = spec_module.parse(json.dumps(_good()).encode())
    assert (parsed["grace_s"], parsed["slots"], parsed["user"], parsed["time_limit_s"]) == (10, [], None, None)


@pytest.mark.parametrize(
    ("where", "value", "sentence"),
    [
        (("protocol",), 2, "protocol is 2 and this agent speaks 1"),
        (("job",), ABSENT, "it lacks job"),
        (("job",), "../evil", "job may have letters, digits, - and _ only"),
        (("job",), "a.b", "job may have letters, digits, - and _ only"),
        (("attempt",), 0, "attempt must be a whole number of at least 1, not 0"),
        (("attempt",), True, "attempt must be a whole number"),
        (("epoch",), "7", "epoch must be a whole number"),
        (("colour",), "red", "it has unknown keys: colour"),
        (("cwd",), "work", "cwd must be an absolute path, not 'work'"),
        (("user",), "", "user must be a string that is not empty"),
        (("grace_s",), -1, "grace_s must be a number of seconds, not -1"),
        (("time_limit_s",), "60", "time_limit_s must be a number of seconds"),
        (("time_limit_s",), float("inf"), "time_limit_s must be a number of seconds"),
        (("gpus",), ["../../etc/passwd"], "'../../etc/passwd' is not the uuid of a GPU"),
        (("slots",), ["0"], "slots must be a list of whole numbers"),
        (("processes",), [], "processes is empty"),
        (("processes", 0, "command"), "python train.py", "processes[0].command must be a list of strings"),
        (("processes", 0, "command"), [], "processes[0].command must be a list with at least one word"),
        (("processes", 0, "command"), ["a\0b"], "without NUL characters"),
        (("processes", 0, "rank"), ABSENT, "processes[0] lacks rank"),
        (("processes", 0, "env"), [], "processes[0].env must be an object"),
        (("processes", 0, "env"), {"A": 1}, "processes[0].env.A must be a string"),
        (("processes", 0, "env"), {"A=B": "1"}, "'A=B' cannot be the name of a variable"),
        (("gate", "port"), 70000, "gate.port must be at most 65535"),
        (("gate", "nodes"), ["n2"], "gate.nodes does not name 'n1'"),
        (("gate", "timeout_s"), ABSENT, "gate lacks timeout_s"),
    ],
)
def test_what_is_wrong_is_named(where: tuple[str | int, ...], value: object, sentence: str) -> None:
    spec = _good()
    *path, last = where
    place: Any = spec
    for step in path:
        place = place[step]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    assert sentence in _sentence(json.dumps(spec).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'"spec"', b"\xff\xfe"])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    assert "the start spec is wrong" in _sentence(text)


def test_two_processes_with_one_rank_are_refused() -> None:
    spec = _good()
    spec["processes"] *= 2
    assert "two processes have the same rank" in _sentence(json.dumps(spec).encode())


def test_the_agent_answers_a_wrong_spec_with_exit_65(node: Node) -> None:
    answer = node.call("start", stdin=b"{}")
    assert (answer.exit_code, answer.error["code"]) == (65, "spec_invalid")
    assert not (node.state_dir / "jobs").exists()
