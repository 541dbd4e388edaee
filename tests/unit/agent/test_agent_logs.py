# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what ranks write: the last lines, everything, or as it comes."""

import subprocess
from pathlib import Path

from tests.unit.agent.node import Node, until

COUNT = ["sh", "-c", "seq 1 50"]


def test_the_last_twenty_lines_of_each_rank_are_shown(node: Node) -> None:
    spec = node.spec(COUNT, ["echo", "hällo"])
    node.start(spec)
    node.ended(spec)
    first, second = node.call("logs", "--job", spec["job"]).payload["logs"]
    assert (first["rank"], first["lines"]) == (0, [str(number) for number in range(31, 51)])
    assert (second["rank"], second["lines"]) == (1, ["hällo"])


def test_one_rank_and_a_number_of_lines_can_be_asked_for(node: Node) -> None:
    spec = node.spec(["true"], COUNT)
    node.start(spec)
    node.ended(spec)
    call = ("logs", "--job", spec["job"], "--rank", 1, "--lines")
    assert node.call(*call, 3).payload["logs"][0]["lines"] == ["48", "49", "50"]
    assert len(node.call(*call, "all").payload["logs"][0]["lines"]) == 50
    assert node.call(*call, 0).payload["logs"][0]["lines"] == []


def test_raw_text_names_the_rank_only_where_there_are_several(node: Node) -> None:
    spec = node.spec(["echo", "zero"], ["printf", "one, without end"])
    node.start(spec)
    node.ended(spec)
    assert node.text("logs", "--job", spec["job"], "--raw") == "[rank 0] zero\n[rank 1] one, without end\n"
    assert node.text("logs", "--job", spec["job"], "--rank", 0, "--raw") == "zero\n"


def test_the_latest_attempt_is_shown_unless_one_is_named(node: Node) -> None:
    first = node.spec(["echo", "first"])
    second = {**node.spec(["echo", "second"], attempt=2), "job": first["job"]}
    for spec in (first, second):
        node.start(spec)
        node.ended(spec)
    assert node.text("logs", "--job", first["job"], "--raw") == "second\n"
    assert node.text("logs", "--job", first["job"], "--attempt", 1, "--raw") == "first\n"


def test_a_job_or_rank_that_is_not_here_exits_66(node: Node) -> None:
    answer = node.call("logs", "--job", "nothing")
    assert (answer.exit_code, answer.error["code"]) == (66, "no_such_job")
    spec = node.spec(["true"])
    node.start(spec)
    node.ended(spec)
    answer = node.call("logs", "--job", spec["job"], "--rank", 7)
    assert (answer.exit_code, answer.error["code"]) == (66, "no_such_rank")
    assert node.call("logs", "--job", spec["job"], "--attempt", 2).exit_code == 66
    assert node.call("status", "--job", "nothing").exit_code == 66


def test_following_shows_lines_as_they_come_and_ends_with_the_job(node: Node, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    script = f"echo one; until [ -e {go_on} ]; do sleep 0.05; done; echo two; printf three"
    spec = node.spec(["sh", "-c", script])
    node.start(spec)
    follower = subprocess.Popen(
        node.command("logs", "--job", spec["job"], "--follow"), stdout=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    assert follower.stdout.readline() == "one\n"
    assert follower.poll() is None
    go_on.touch()
    assert follower.stdout.read() == "two\nthree\n"
    assert follower.wait(30) == 0
    follower.stdout.close()


def test_a_follower_leaves_when_its_reader_does(node: Node) -> None:
    spec = node.spec(["sleep", "600"])
    node.start(spec)
    follower = subprocess.Popen(node.command("logs", "--job", spec["job"], "--follow"), stdout=subprocess.PIPE)
    assert follower.stdout is not None
    until(lambda: Path(f"/proc/{follower.pid}/cmdline").read_bytes(), "it runs")
    follower.stdout.close()
    assert follower.wait(30) == 0
