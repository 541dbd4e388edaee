# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules ``job`` and ``job_info``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster
from ansible_collections.muster.training.plugins.module_utils.model import JobSpec

Run = Callable[..., dict[str, Any]]
RING = {"name": "ring", "command": ["python3", "ring.py"], "slots": "2"}


def test_a_submitted_job_is_queued_and_says_who_submitted_it(run_module: Run) -> None:
    result = run_module("job", spec=RING)
    job = result["job"]
    assert result["changed"]
    assert (job["state"], job["spec"]["slots"]) == ("QUEUED", 2)
    assert job["submitted_by"].startswith("ansible:")
    assert [found["id"] for found in run_module("job_info")["jobs"]] == [job["id"]]


def test_the_same_name_again_is_a_run_of_its_own(run_module: Run) -> None:
    ids = {run_module("job", spec=RING)["job"]["id"] for _run in range(2)}
    assert {found["id"] for found in run_module("job_info", jobs=["ring"])["jobs"]} == ids
    assert len(ids) == 2


def test_check_mode_only_looks_at_the_description(run_module: Run, location: str) -> None:
    assert run_module("job", spec=RING, check_mode=True)["changed"]
    assert not Path(location).exists()


def test_secrets_in_the_environment_are_in_neither_state_nor_result(run_module: Run, location: str) -> None:
    result = run_module("job", spec=RING | {"env": {"WANDB_API_KEY": "geheim", "SEED": 1}}, diff=True)
    assert result["job"]["spec"]["env"] == {"WANDB_API_KEY": "********", "SEED": "1"}
    assert "geheim" not in f"{result['job']} {result['diff']}"
    assert b"geheim" not in b"".join(path.read_bytes() for path in Path(location).rglob("*") if path.is_file())


def test_a_queued_job_can_be_canceled_by_its_name_and_only_once(run_module: Run) -> None:
    run_module("job", spec=RING)
    asked = {"job": "ring", "state": "canceled", "reason": "not needed"}
    foreseen = run_module("job", **asked, check_mode=True, diff=True)
    assert (foreseen["changed"], foreseen["job"]["state"]) == (True, "CANCELED")
    assert (foreseen["diff"]["before"]["state"], foreseen["diff"]["after"]["state"]) == ("QUEUED", "CANCELED")
    result = run_module("job", **asked)
    assert (result["changed"], result["job"]["state"], result["job"]["reason"]) == (True, "CANCELED", "not needed")
    assert not run_module("job", **asked)["changed"]


def test_a_job_that_holds_nodes_is_not_canceled_behind_their_back(
    run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]
) -> None:
    job, _plan = cluster.allocate(spec())
    result = run_module("job", job=job.id, state="canceled")
    assert (result["failed"], result["error"]["code"]) == (True, "invalid_transition")
    assert "release.yml" in result["error"]["hint"]
    assert cluster.job(job.id).state == "ALLOCATED"


def test_a_job_that_has_ended_is_not_canceled(run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]) -> None:
    job, _plan = cluster.allocate(spec())
    cluster.starting(job.id, 1)
    cluster.release(job.id, cleared=["n1"])
    assert not run_module("job", job=job.id, state="canceled")["changed"]
    assert run_module("job", job="nix", state="canceled")["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (RING | {"comand": []}, "muster_job.comand is unknown: did you mean command?"),
        (RING | {"name": "../x"}, "no job name"),
        (RING | {"command": "python3 ring.py"}, "muster_job.command: must be a list of words"),
        (RING | {"nodes": 2}, "two ways"),
        (RING | {"launcher": "mpirun"}, "'mpirun' is no launcher"),
    ],
)
def test_a_wrong_description_gets_one_sentence(run_module: Run, location: str, spec: Any, sentence: str) -> None:
    result = run_module("job", spec=spec, check_mode=True)
    assert (result["failed"], result["error"]["code"]) == (True, "invalid_input")
    assert sentence in result["msg"]
    assert not Path(location).exists()


def test_jobs_are_found_by_id_by_name_by_state_and_while_active(
    run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]
) -> None:
    queued = cluster.submit(spec(name="a"))
    placed, _plan = cluster.allocate(spec(name="b", slots=2), within=["n1"])
    gone = cluster.submit(spec(name="a"))
    cluster.release(gone.id, cleared=())

    def ids(**asked: Any) -> list[str]:
        return [job["id"] for job in run_module("job_info", **asked)["jobs"]]

    assert sorted(ids()) == sorted([queued.id, placed.id, gone.id])
    assert sorted(ids(jobs=["a"])) == sorted([queued.id, gone.id])
    assert ids(jobs=["a"], active=True) == [queued.id]
    assert ids(states=["ALLOCATED"]) == [placed.id]
    assert ids(jobs=[placed.id, "nix"]) == [placed.id]
    found = run_module("job_info", jobs=["b", "nix"])
    assert found["missing"] == ["nix"]
    job = found["jobs"][0]
    assert (job["attempt"], job["epoch"], job["world_size"], job["nodes"], job["leased"]) == (1, 1, 2, ["n1"], ["n1"])
