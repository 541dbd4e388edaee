# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every caller sees: one JSON object, and an exit code that says how it went."""

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from muster.agent import package

from tests.unit.agent.node import Node


def test_the_agent_says_which_version_it_is(node: Node) -> None:
    answer = node.call("--expect", package.version(), "version")
    assert answer.exit_code == 0
    assert answer.payload["ok"] is True
    assert answer.payload["protocol"] == 1
    assert answer.payload["agent"] == package.version()


@pytest.mark.parametrize("words", [["version"], ["a-verb-of-the-future", "--with", "options"], ["status", "--new"]])
def test_an_agent_of_another_version_does_nothing_and_exits_76(node: Node, words: list[str]) -> None:
    answer = node.call("--expect", "9.9.9+00000000", *words)
    assert answer.exit_code == 76
    assert answer.error["code"] == "other_version"
    assert answer.payload["ok"] is False


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["--loudly", "version"],
        ["version", "--loudly"],
        ["status", "--job"],
        ["status", "--attempt", "1"],
        ["status", "--job", "x", "--attempt", "one"],
        ["status", "--wait-end", "5"],
        ["stop"],
        ["logs"],
        ["logs", "--job", "x", "--lines", "-1"],
        ["logs", "--job", "x", "--lines", "some"],
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_64(node: Node, words: list[str]) -> None:
    answer = node.call(*words)
    assert answer.exit_code == 64
    assert answer.error["code"] == "usage"
    assert answer.error["message"]


def test_help_is_for_people(node: Node) -> None:
    assert "usage: muster-agent.pyz" in node.text("--help")


def test_the_state_directory_is_the_one_above_the_file_unless_named(node: Node) -> None:
    spec = node.spec(["true"])
    node.start(spec)
    node.ended(spec)
    assert node.call("status").payload["attempts"]
    assert not node.call("--state-dir", node.state_dir / "other", "status").payload["attempts"]


def test_a_state_directory_that_cannot_be_made_is_refused(node: Node) -> None:
    (node.state_dir / "file").touch()
    elsewhere = ("--state-dir", node.state_dir / "file" / "dir")
    answer = node.call(*elsewhere, "start", stdin=json.dumps(node.spec(["true"])).encode())
    assert answer.exit_code == 69
    assert answer.error["code"] == "state_dir_unwritable"


def test_inventory_describes_this_machine(node: Node) -> None:
    found = node.call("inventory").payload["node"]
    assert found["hostname"] == socket.gethostname()
    assert found["cpus"] == len(os.sched_getaffinity(0))
    assert found["memory_mib"] > 0
    assert found["uid"] == os.geteuid()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"interface": "lo", "address": "127.0.0.1"} in found["addresses"]
    assert found["boot_id"]


def checks_of(node: Node) -> dict[tuple[str, str], dict[str, Any]]:
    found = node.call("health", "--source", "live").payload["health"]["checks"]
    return {(check["check"], check["entity"]): check for check in found}


def test_health_gives_each_check_a_status_a_reason_and_what_to_do(node: Node) -> None:
    checks = checks_of(node)
    assert checks["disk.writable", str(node.state_dir)]["status"] == "OK"
    assert all(check["reason"] for check in checks.values())
    bad = [check for check in checks.values() if check["status"] not in ("OK", "SKIPPED")]
    assert all(check["action"] for check in bad)


def test_a_state_directory_that_cannot_be_written_is_critical(node: Node) -> None:
    (node.state_dir / "jobs").touch()
    check = checks_of(node)["disk.writable", str(node.state_dir)]
    assert check["status"] == "CRITICAL"
    assert "muster_state_dir" in check["action"]
    (node.state_dir / "jobs").unlink()


def test_health_refuses_what_it_does_not_know(node: Node) -> None:
    assert "--source cannot be 'memory'" in node.call("health", "--source", "memory").error["message"]
    answer = node.call("health", "--clear", "gpu.warmth")
    assert (answer.exit_code, answer.error["message"]) == (64, "there is no check 'gpu.warmth'")
    assert "gpu.temperature" in answer.error["hint"]
    assert "no monitor runs on this node" in node.call("health", "--clear", "all").error["message"]


def test_a_reader_who_has_left_is_no_error(node: Node) -> None:
    process = subprocess.Popen(node.command("version"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"BrokenPipe" not in stderr
