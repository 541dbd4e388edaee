# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``allocation``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster
from ansible_collections.muster.training.plugins.module_utils.door import allocations
from ansible_collections.muster.training.plugins.module_utils.door.call import Call, answered
from ansible_collections.muster.training.plugins.module_utils.model import JobSpec
from ansible_collections.muster.training.plugins.module_utils.store import DirectoryStore

Run = Callable[..., dict[str, Any]]
RING = {"name": "ring", "command": ["python3", "ring.py"], "slots": 3}


def test_a_new_job_gets_leases_and_a_rank_plan_in_one_transaction(run_module: Run, cluster: Cluster) -> None:
    before = run_module("node_info")["serial"]
    result = run_module("allocation", spec=RING, diff=True)
    assert run_module("node_info")["serial"] == before + 1
    assert (result["changed"], result["attempt"], result["epoch"]) == (True, 1, 1)
    assert result["job"]["state"] == "ALLOCATED"
    parts = {part["node"]: part["ranks"] for part in result["plan"]["nodes"]}
    assert parts == {"n1": [0, 1], "n2": [2]}
    assert result["diff"]["before"] == {}
    assert result["diff"]["after"]["leases"] == {"n1": [0, 1], "n2": [0]}
    assert {lease.node for lease in cluster.leases()} == {"n1", "n2"}


def test_check_mode_returns_the_plan_that_it_would_make(
    run_module: Run, cluster: Cluster, content: Callable[[], dict[str, bytes]]
) -> None:
    before = content()
    foreseen = run_module("allocation", spec=RING, check_mode=True)
    assert content() == before
    assert foreseen["plan"] == run_module("allocation", spec=RING)["plan"]


def test_a_queued_job_is_placed_within_the_nodes_given(run_module: Run, cluster: Cluster) -> None:
    queued = run_module("job", spec=RING | {"slots": 1})["job"]
    result = run_module("allocation", job="ring", within=["n2", "n3"])
    assert result["job"]["id"] == queued["id"]
    assert [part["node"] for part in result["plan"]["nodes"]] == ["n2"]
    again = run_module("allocation", job="ring")
    assert (again["failed"], again["error"]["code"]) == (True, "invalid_transition")


@pytest.mark.parametrize(
    ("spec", "permanent", "sentence"),
    [
        (RING | {"slots": 5}, True, "more than the cluster has"),
        (RING | {"slots": 4}, False, "is held by other"),
        (RING | {"constraints": {"labels": {"rack": "r9"}}}, True, "no node has the label rack=r9"),
    ],
)
def test_a_job_that_does_not_fit_leaves_nothing_behind(
    run_module: Run, cluster: Cluster, spec: dict[str, Any], permanent: bool, sentence: str
) -> None:
    run_module("allocation", spec=RING | {"name": "other", "slots": 1})
    result = run_module("allocation", spec=spec)
    assert (result["error"]["code"], result["error"]["permanent"]) == ("no_capacity", permanent)
    assert sentence in result["msg"]
    assert [job["name"] for job in run_module("job_info")["jobs"]] == ["other"]


def test_a_released_job_gives_back_what_was_cleared_and_is_canceled(run_module: Run, cluster: Cluster) -> None:
    job = run_module("allocation", spec=RING)["job"]["id"]
    asked: dict[str, Any] = {"job": job, "state": "absent", "cleared": ["n1", "n2"], "reason": "enough"}
    foreseen = run_module("allocation", **asked, check_mode=True)
    assert len(cluster.leases()) == 2
    result = run_module("allocation", **asked, diff=True)
    assert foreseen["changed"] and result["changed"]
    assert {lease["node"] for lease in result["released"]} == {"n1", "n2"}
    assert (result["job"]["state"], result["job"]["reason"]) == ("CANCELED", "enough")
    assert result["diff"]["before"]["leases"] == {"n1": [0, 1], "n2": [0]}
    assert (result["diff"]["after"]["state"], result["diff"]["after"]["leases"]) == ("CANCELED", {})
    assert cluster.leases() == []
    assert not run_module("allocation", **asked)["changed"]


def test_a_node_in_doubt_keeps_its_lease_and_is_drained(run_module: Run, cluster: Cluster) -> None:
    job = run_module("allocation", spec=RING)["job"]["id"]
    asked: dict[str, Any] = {"job": job, "state": "absent", "cleared": ["n1"], "doubtful": {"n2": "it does not answer"}}
    result = run_module("allocation", **asked)
    assert (result["changed"], result["drained"]) == (True, ["n2"])
    assert [lease.node for lease in cluster.leases()] == ["n2"]
    admin = cluster.nodes()["n2"].admin
    assert (admin.state, admin.reason) == ("drained", f"job {job}: it does not answer")
    assert not run_module("allocation", **asked)["changed"]


def test_a_refused_launch_is_withdrawn_without_a_trace(run_module: Run, cluster: Cluster) -> None:
    allocated = run_module("allocation", spec=RING)
    job, epoch = allocated["job"]["id"], allocated["epoch"]
    assert run_module("allocation", job=job, epoch=epoch + 1, state="withdrawn")["error"]["code"] == "stale_epoch"
    result = run_module("allocation", job=job, epoch=epoch, state="withdrawn", diff=True)
    assert (result["changed"], len(result["released"]), result["diff"]["after"]) == (True, 2, {})
    assert run_module("job_info")["jobs"] == cluster.leases() == []


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({}, "spec, job"),
        ({"spec": RING, "job": "ring"}, "mutually exclusive"),
        ({"state": "absent"}, "job"),
        ({"state": "withdrawn", "job": "ring"}, "epoch"),
    ],
)
def test_what_a_state_needs_must_be_given(run_module: Run, asked: dict[str, Any], word: str) -> None:
    result = run_module("allocation", **asked)
    assert result["failed"]
    assert word in result["msg"]


class Waiting:
    """A task that waits for capacity in a thread of its own."""

    def __init__(self, location: str, **params: Any) -> None:
        self.said: list[str] = []
        self.waits = threading.Event()
        given = {"store": location, "state": "present", "spec": RING, "job": None, "within": None}
        self._call = Call(given | params, say=self._hear)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _hear(self, text: str) -> None:
        self.said.append(text)
        self.waits.set()

    def _run(self) -> None:
        self._result = answered(allocations.change_allocation, self._call)

    def result(self) -> dict[str, Any]:
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        return self._result


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocations, "POLL_S", 0.01)


@pytest.mark.usefixtures("impatient")
def test_a_patient_job_starts_when_another_gives_back_its_nodes(
    cluster: Cluster, location: str, spec: Callable[..., JobSpec]
) -> None:
    holder, _plan = cluster.allocate(spec(slots=2))
    waiting = Waiting(location, wait_for_capacity_s=60)
    assert waiting.waits.wait(timeout=30)
    cluster.release(holder.id, cleared=["n1"])
    assert waiting.result()["job"]["state"] == "ALLOCATED"
    assert len(waiting.said) == 1
    assert waiting.said[0].startswith("waiting for capacity: ")
    assert f"ring ({holder.id})" in waiting.said[0]


@pytest.mark.usefixtures("impatient")
def test_patience_ends(cluster: Cluster, location: str, spec: Callable[..., JobSpec]) -> None:
    cluster.allocate(spec(slots=2))
    result = Waiting(location, wait_for_capacity_s=1).result()
    assert (result["failed"], result["error"]["code"]) == (True, "no_capacity")


def test_jobs_that_nobody_follows_are_asked_about_only_where_there_is_no_room(
    cluster: Cluster, location: str, spec: Callable[..., JobSpec]
) -> None:
    asked: list[str] = []

    def settle() -> bool:
        held = cluster.leases()
        asked.append("settle")
        for lease in held:
            cluster.release(lease.job, cleared=[lease.node])
        return bool(held)

    params = {"store": location, "state": "present", "spec": RING, "job": None, "within": None}
    call = Call(params | {"wait_for_capacity_s": 0}, settle=settle)
    answers = [answered(allocations.change_allocation, call)]
    assert asked == []
    answers.append(answered(allocations.change_allocation, call))
    assert [answer["job"]["state"] for answer in answers] == ["ALLOCATED", "ALLOCATED"]
    assert asked == ["settle"]


def test_waiting_for_what_can_never_be_is_not_begun(cluster: Cluster, location: str) -> None:
    waiting = Waiting(location, wait_for_capacity_s=3600, spec=RING | {"slots": 99})
    assert waiting.result()["error"]["permanent"]
    assert waiting.said == []


def test_check_mode_does_not_wait(run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]) -> None:
    cluster.allocate(spec(slots=2))
    result = run_module("allocation", spec=RING, wait_for_capacity_s=3600, check_mode=True)
    assert result["error"]["code"] == "no_capacity"


def test_nothing_is_written_while_a_job_waits(run_module: Run, cluster: Cluster, location: str) -> None:
    run_module("allocation", spec=RING)
    before = DirectoryStore(Path(location)).read().serial
    run_module("allocation", spec=RING)
    assert DirectoryStore(Path(location)).read().serial == before
