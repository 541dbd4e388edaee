# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One job at a time on a GPU or slot, and no start that is out of date."""

import json
from pathlib import Path

import pytest

from tests.unit.agent.node import Node, python, until

SLEEP = ["sleep", "600"]
DEAF = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
DEAF += "pathlib.Path(sys.argv[1]).touch()\ntime.sleep(600)"


def test_a_slot_in_use_is_refused_and_its_holder_is_named(node: Node) -> None:
    holder = node.spec(SLEEP, slots=[0, 1])
    node.start(holder)
    answer = node.start(node.spec(SLEEP, slots=[1, 2]))
    assert answer.exit_code == 69
    [problem] = answer.attempt["problems"]
    assert problem["code"] == "locked"
    assert problem["message"] == f"slot 1 is in use by job {holder['job']} (attempt 1, epoch {holder['epoch']})"


def test_other_slots_of_the_node_are_free(node: Node) -> None:
    assert node.start(node.spec(SLEEP, slots=[0])).exit_code == 0
    assert node.start(node.spec(SLEEP, slots=[1])).exit_code == 0


def test_a_slot_is_free_again_when_its_job_has_ended(node: Node) -> None:
    for _run in range(3):
        spec = node.spec(["true"], slots=[0])
        assert node.start(spec).exit_code == 0
        node.ended(spec)


def test_a_refused_start_holds_nothing(node: Node) -> None:
    assert node.start(node.spec(SLEEP, slots=[0], cwd="/no/such/place")).exit_code == 69
    assert node.start(node.spec(SLEEP, slots=[0])).exit_code == 0


def test_a_slot_whose_supervisor_is_dead_stays_locked_while_its_ranks_live(node: Node, tmp_path: Path) -> None:
    holder = node.spec(python(DEAF, str(tmp_path / "ready")), slots=[0], grace_s=0.2)
    node.start(holder)
    until((tmp_path / "ready").exists, "the rank ignores SIGTERM")
    node.kill_supervisor(holder)
    answer = node.start(node.spec(SLEEP, slots=[0]))
    [problem] = answer.attempt["problems"]
    assert problem["code"] == "locked"
    assert holder["job"] in problem["message"]
    assert "its supervisor is gone, but 1 of its processes are left" in problem["message"]
    node.stop(holder)
    assert node.start(node.spec(SLEEP, slots=[0])).exit_code == 0


def test_a_slot_whose_supervisor_and_ranks_are_dead_is_free(node: Node) -> None:
    holder = node.spec(SLEEP, slots=[0])
    node.start(holder)
    node.kill_supervisor(holder)
    until(lambda: node.status(holder)["left"] == 0, "the ranks are gone")
    assert node.start(node.spec(SLEEP, slots=[0])).exit_code == 0


def test_a_start_with_an_older_epoch_than_the_slot_has_served_is_refused(node: Node) -> None:
    newer = node.spec(["true"], slots=[0], epoch=9)
    node.start(newer)
    node.ended(newer)
    answer = node.start(node.spec(["true"], slots=[0], epoch=8))
    assert answer.codes() == [("n1", "stale_epoch")]
    assert "slot 0 has already served epoch 9; this start is of epoch 8" in answer.error["message"]


def test_two_jobs_that_arrive_in_the_other_order_both_start_on_their_own_slots(node: Node) -> None:
    assert node.start(node.spec(SLEEP, slots=[0], epoch=9)).exit_code == 0
    assert node.start(node.spec(SLEEP, slots=[1], epoch=8)).exit_code == 0


def test_a_refused_start_does_not_raise_the_epoch(node: Node) -> None:
    node.start(node.spec(SLEEP, slots=[0], epoch=9, cwd="/no/such/place"))
    assert node.start(node.spec(SLEEP, slots=[0], epoch=8)).exit_code == 0


def test_an_epoch_of_another_store_does_not_count(node: Node) -> None:
    for lineage, epoch in (("one", 50), ("two", 1), ("two", 2)):
        spec = node.spec(["true"], slots=[0], epoch=epoch, lineage=lineage)
        assert node.start(spec).exit_code == 0
        node.ended(spec)
    assert node.start(node.spec(["true"], slots=[0], epoch=1, lineage="two")).codes() == [("n1", "stale_epoch")]


def test_an_older_attempt_of_a_job_is_refused_whatever_slots_it_has(node: Node) -> None:
    second = node.spec(SLEEP, slots=[0], attempt=2, epoch=9)
    node.start(second)
    answer = node.start({**node.spec(SLEEP, slots=[1], attempt=1, epoch=8), "job": second["job"]})
    assert answer.codes() == [("n1", "stale_epoch")]


def test_the_same_attempt_with_another_epoch_is_refused(node: Node) -> None:
    spec = node.spec(SLEEP, epoch=8)
    node.start(spec)
    assert node.start({**spec, "epoch": 7}).error["code"] == "stale_epoch"
    assert node.start({**spec, "epoch": 9}).error["code"] == "attempt_exists"


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", '{"epoch": 7}', '{"epoch": 1, "lineage": null, "holder": null}xx']
)
def test_a_lock_file_with_any_text_is_free_if_nobody_holds_it(node: Node, text: str) -> None:
    (node.state_dir / "locks").mkdir()
    (node.state_dir / "locks" / "slot-0").write_text(text)
    spec = node.spec(["true"], slots=[0])
    assert node.start(spec).exit_code == 0
    node.ended(spec)
    assert json.loads((node.state_dir / "locks" / "slot-0").read_text())["epoch"] == spec["epoch"]
