# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stopping, and what is left when a supervisor could not do its work."""

import os
import signal
from pathlib import Path

from tests.unit.agent.node import Node, alive, gang, python, start_all, until

SLEEP = ["sleep", "600"]
DEAF = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
DEAF += "pathlib.Path(sys.argv[1]).touch()\ntime.sleep(600)"


def test_a_stop_ends_everything_and_says_why(node: Node) -> None:
    spec = node.spec(SLEEP, SLEEP)
    node.start(spec)
    answer = node.stop(spec, "--reason", "the user asked for it")
    assert answer.exit_code == 0
    assert (answer.attempt["state"], answer.attempt["left"]) == ("canceled", 0)
    assert answer.attempt["reason"] == "the user asked for it"
    assert answer.attempt["failure"] is None
    assert not any(alive(rank["pid"]) for rank in answer.attempt["ranks"])


def test_stopping_what_is_not_there_is_done_at_once(node: Node) -> None:
    answer = node.call("stop", "--job", "never-heard-of")
    assert (answer.exit_code, answer.payload["attempt"]) == (0, None)


def test_stopping_what_has_ended_changes_nothing(node: Node) -> None:
    spec = node.spec(["true"])
    node.start(spec)
    status = node.ended(spec)
    assert node.stop(spec).attempt == status


def test_a_stop_of_an_older_epoch_leaves_the_newer_attempt_alone(node: Node) -> None:
    spec = node.spec(SLEEP, epoch=9)
    node.start(spec)
    answer = node.stop(spec, "--epoch", 8)
    assert (answer.exit_code, answer.error["code"]) == (69, "stale_epoch")
    assert node.status(spec)["state"] == "running"
    assert node.stop(spec, "--epoch", 9).exit_code == 0


def test_a_second_stop_may_shorten_the_grace(node: Node, tmp_path: Path) -> None:
    spec = node.spec(python(DEAF, str(tmp_path / "ready")), grace_s=600)
    node.start(spec)
    until((tmp_path / "ready").exists, "the rank ignores SIGTERM")
    patient = node.begin("stop", "--job", spec["job"])
    until((node.directory(spec) / "stop.json").exists, "the first stop was asked for")
    assert node.stop(spec, "--grace", 0).exit_code == 0
    assert node.finish(patient).attempt["state"] == "canceled"


def test_a_supervisor_that_is_told_to_end_by_the_system_stops_the_job(node: Node) -> None:
    spec = node.spec(SLEEP)
    supervisor = node.start(spec).attempt["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGTERM)
    status = node.ended(spec)
    assert status["state"] == "canceled"
    assert "SIGTERM" in status["reason"]


def test_a_job_whose_supervisor_was_killed_is_lost_and_a_stop_clears_it_up(node: Node, tmp_path: Path) -> None:
    spec = node.spec(python(DEAF, str(tmp_path / "ready")), grace_s=0.3)
    rank = node.start(spec).attempt["ranks"][0]["pid"]
    until((tmp_path / "ready").exists, "the rank ignores SIGTERM")
    node.kill_supervisor(spec)

    status = node.status(spec)
    assert (status["state"], status["left"]) == ("lost", 1)
    assert "is gone" in status["reason"]
    assert alive(rank)

    answer = node.stop(spec)
    assert (answer.exit_code, answer.attempt["state"], answer.attempt["left"]) == (0, "lost", 0)
    assert answer.attempt["ended_at"]
    until(lambda: not alive(rank), "the rank is gone")
    assert node.status(spec) == answer.attempt


def test_the_death_of_the_supervisor_ends_ranks_that_heed_sigterm(node: Node) -> None:
    spec = node.spec(SLEEP)
    rank = node.start(spec).attempt["ranks"][0]["pid"]
    node.kill_supervisor(spec)
    until(lambda: not alive(rank), "the rank is gone")
    assert node.status(spec)["left"] == 0


def test_leftovers_in_sessions_of_their_own_are_found(node: Node, tmp_path: Path) -> None:
    command = f"[sys.executable, '-c', {DEAF!r}, sys.argv[1]]"
    script = f"import subprocess, sys; subprocess.Popen({command}, start_new_session=True).wait()"
    spec = node.spec(python(script, str(tmp_path / "ready")), grace_s=0.3)
    node.start(spec)
    until((tmp_path / "ready").exists, "the worker ignores SIGTERM")
    node.kill_supervisor(spec)
    assert node.status(spec)["left"] >= 1
    assert node.stop(spec).attempt["left"] == 0


def test_leftovers_of_one_node_are_not_taken_for_those_of_another_on_the_same_machine(nodes: list[Node]) -> None:
    specs = gang(nodes[:2], SLEEP)
    start_all(nodes[:2], specs)
    nodes[0].kill_supervisor(specs[0])
    assert nodes[0].stop(specs[0], "--grace", 0).attempt["left"] == 0
    assert nodes[1].status(specs[1])["state"] == "running"


def test_a_record_of_another_boot_is_lost_with_nothing_left(node: Node) -> None:
    spec = node.spec(SLEEP)
    boot_id = node.start(spec).attempt["boot_id"]
    node.kill_supervisor(spec)
    record = node.directory(spec) / "status.json"
    record.write_text(record.read_text().replace(boot_id, "of-an-earlier-boot"))
    status = node.status(spec)
    assert (status["state"], status["reason"], status["left"]) == ("lost", "the node was rebooted", 0)


def test_waiting_for_the_end_ends_with_a_supervisor_that_dies(node: Node) -> None:
    spec = node.spec(SLEEP)
    supervisor = node.start(spec).attempt["supervisor"]["pid"]
    call = node.begin("status", "--job", spec["job"], "--wait-end", 600)
    os.kill(supervisor, signal.SIGKILL)
    assert node.finish(call).payload["attempts"][0]["state"] == "lost"


def test_waiting_for_the_end_returns_in_time_without_one(node: Node) -> None:
    spec = node.spec(SLEEP)
    node.start(spec)
    answer = node.call("status", "--job", spec["job"], "--wait-end", 0.2)
    assert (answer.exit_code, answer.payload["attempts"][0]["state"]) == (0, "running")
