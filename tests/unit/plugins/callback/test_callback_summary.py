# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines below Ansible's recap."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster, Outcome, open_cluster
from ansible_collections.muster.training.plugins.module_utils.model import Job, JobSpec
from ansible_collections.muster.training.plugins.plugin_utils.run_summary import summary

Specs = Callable[..., JobSpec]


@pytest.fixture
def ended(cluster: Cluster, spec: Specs) -> Callable[..., Job]:
    """Makes a job that ran for 12.3 s on all slots and ended so."""

    def make(outcome: Outcome) -> Job:
        start = datetime(2026, 11, 23, 12, tzinfo=UTC)

        def at(seconds: float) -> Cluster:
            return Cluster(cluster.store, actor="test", clock=lambda: start + timedelta(seconds=seconds))

        job, _plan = cluster.allocate(spec(slots=4))
        epoch = job.attempts[-1].epoch
        cluster.starting(job.id, epoch)
        at(0).running(job.id, epoch)
        return at(12.3).finish(job.id, epoch, outcome, cleared=["n1", "n2", "n3"])

    return make


def test_nothing_is_said_about_an_empty_store(location: str) -> None:
    assert summary(open_cluster(location, actor="test").view(), [], {"web1": "no route"}) == []


def test_a_success_tells_its_time_and_place(cluster: Cluster, ended: Callable[..., Job]) -> None:
    job = ended(Outcome("SUCCEEDED"))
    assert summary(cluster.view(), [job.id], {}) == [
        ("nodes  4: 4 idle", "good"),
        (f"job    ring {job.id} SUCCEEDED in 12.3 s on n1, n2, n3", "good"),
    ]


def test_a_failure_tells_its_cause_on_one_line(cluster: Cluster, ended: Callable[..., Job]) -> None:
    job = ended(Outcome("FAILED", "rank 3 on n2 failed first: exit code 3\nTraceback ..."))
    text, mood = summary(cluster.view(), [job.id], {})[1]
    assert mood == "bad"
    assert text.endswith("FAILED in 12.3 s on n1, n2, n3: rank 3 on n2 failed first: exit code 3")


def test_jobs_of_other_runs_are_not_told(cluster: Cluster, spec: Specs) -> None:
    cluster.submit(spec(name="other"))
    assert [text for text, _mood in summary(cluster.view(), [], {})] == ["nodes  4: 4 idle"]


def test_unreachable_nodes_are_told_with_the_reason_and_hosts_that_are_no_nodes_are_not(cluster: Cluster) -> None:
    cluster.contacted([], {"n3": "no route"})
    lines = summary(cluster.view(), [], {"n3": "no route", "web1": "no route"})
    assert lines == [("nodes        4: 3 idle, 1 unreachable", "bad"), ("unreachable  n3: no route", "bad")]
