# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the experiment manager's tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster
from muster.model import SECRET

from tests.unit.cluster.importing import EXPERIMENTS, cluster_at, content, documents, said


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return cluster_at(tmp_path / "store")


def test_each_task_is_kept_as_it_is_in_its_state(cluster: Cluster) -> None:
    report = cluster.import_state("experiments", EXPERIMENTS, timezone="UTC")
    assert report.counts["tasks"] == {"created": 6}
    tasks = documents(cluster, "tasks", "task_id")
    assert {name: task["status"] for name, task in tasks.items()} == {
        "exp1_vary_width_0_42": "assigned",
        "exp1_vary_width_1_42": "assigned",
        "exp1_vary_width_2_42": "completed",
        "exp1_vary_width_3_42": "failed",
        "exp2_alpha_0_42": "pending",
        "exp2_alpha_1_42": "assigned",
    }
    first = {key: value for key, value in tasks["exp1_vary_width_0_42"].items() if key != "imported"}
    assert first == {
        "task_id": "exp1_vary_width_0_42",
        "phase": "exp1_vary_width",
        "config": {"dataset": "mnist", "width_factor": 0.5, "seed": 42, "wandb_api_key": SECRET},
        "status": "assigned",
        "assigned_to": "gpu2",
        "assigned_at": "2026-11-23T09:30:15.123456Z",
        "retry_count": 1,
        "last_error": "worker gpu1 went away",
    }


def test_a_stale_assignment_is_remarked_and_left_alone(cluster: Cluster) -> None:
    report = cluster.import_state("experiments", EXPERIMENTS, timezone="UTC")
    assert report.remarks[:2] == [
        "exp1_vary_width_0_42 assigned for more than two hours: the manager would give them to other workers",
        "exp2_alpha_1_42 assigned, but it is not said to whom and when",
    ]


def test_whether_it_is_stale_depends_on_the_zone(cluster: Cluster) -> None:
    report = cluster.import_state("experiments", EXPERIMENTS, timezone="America/New_York")
    assert not any("two hours" in remark for remark in report.remarks)


def test_the_list_of_assigned_tasks_adds_nothing_where_it_agrees(cluster: Cluster) -> None:
    cluster.import_state("experiments", EXPERIMENTS)
    assert said(cluster, "file", "manager_state") == {"saved_by": "experiment_manager.py"}


@pytest.mark.parametrize("assigned", [{}, {"gone": {"status": "assigned"}}, ["exp2_alpha_0_42"]])
def test_and_is_kept_and_remarked_where_it_does_not(cluster: Cluster, assigned: Any) -> None:
    written = content(EXPERIMENTS) | {"assigned_tasks": assigned}
    report = cluster.import_state("experiments", json.dumps(written))
    assert said(cluster, "file", "manager_state")["assigned_tasks"] == assigned
    assert "assigned_tasks says other than the tasks themselves do: theirs is taken, and it is kept" in report.remarks
    assert "gone" not in documents(cluster, "tasks", "task_id")


def test_all_that_the_file_said_of_a_task_is_kept(cluster: Cluster) -> None:
    cluster.import_state("experiments", EXPERIMENTS)
    written = content(EXPERIMENTS)["tasks"]
    written["exp1_vary_width_0_42"]["config"]["wandb_api_key"] = SECRET
    for name, task in documents(cluster, "tasks", "task_id").items():
        assert task["imported"] == written[name]
