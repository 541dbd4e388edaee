# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of the state: each rule, broken by hand, is told with the command that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from muster.cluster import Cluster, Outcome
from muster.model import Job
from muster.store import Draft

from tests.unit.samples import facts, spec


@pytest.fixture
def job(cluster: Cluster) -> Job:
    """A job that runs on all three nodes."""
    found, _plan = cluster.allocate(spec(nodes=3))
    return run(cluster, found)


def run(cluster: Cluster, job: Job) -> Job:
    assert job.attempt is not None
    cluster.starting(job.id, job.attempt.epoch)
    return cluster.running(job.id, job.attempt.epoch)


def end(cluster: Cluster, job: Job, **given: Any) -> None:
    assert job.attempt is not None
    cluster.finish(job.id, job.attempt.epoch, Outcome("FAILED", "rank 0 on n1 failed first: exit code 1"), **given)


def broken(cluster: Cluster, work: Callable[[Draft], object]) -> list[tuple[str, str, str]]:
    """What is told after somebody has written into the state by hand."""
    with cluster.store.transaction(who="somebody", why="by hand") as draft:
        work(draft)
    return [(one.rule, one.message, one.repair) for one in cluster.view().violations]


def change(draft: Draft, table: str, key: str, **fields: Any) -> None:
    row = draft.get(table, key)
    assert row is not None
    draft.put(table, row | fields)


def change_attempt(draft: Draft, job: str, **fields: Any) -> None:
    row = draft.get("jobs", job)
    assert row is not None
    draft.put("jobs", row | {"attempts": [*row["attempts"][:-1], row["attempts"][-1] | fields]})


def test_an_empty_state_and_every_step_of_a_job_are_consistent(cluster: Cluster, job: Job) -> None:
    assert cluster.view().violations == []
    end(cluster, job, cleared=["n1", "n2"], doubtful={"n3": "it does not answer"})
    assert cluster.view().violations == [], "n3 keeps its lease, and is drained"
    cluster.release(job.id, cleared=["n3"])
    assert cluster.view().violations == []


def test_a_slot_or_a_port_with_two_holders(cluster: Cluster, job: Job) -> None:
    def lend_again(draft: Draft) -> None:
        lease = next(row for row in draft.all("leases") if row["node"] == "n1")
        draft.put("leases", lease | {"id": f"{job.id}.2.n1"})

    assert broken(cluster, lend_again) == [
        ("held twice", f"slot {slot} of n1 is leased to job {job.id} and job {job.id}", end_of(job)) for slot in (0, 1)
    ] + [
        (
            "held twice",
            f"port {port} of n1 is leased to job {job.id} and job {job.id}",
            end_of(job),
        )
        for port in cluster.leases(job.id)[0].ports
    ]
    assert len(cluster.leases(job.id)[0].ports) == 2


def test_a_gpu_with_two_holders_is_told_wherever_they_are(cluster: Cluster) -> None:
    cluster.sync_nodes([facts("g1", gpu=1), facts("g2", gpu=1)])
    first, _plan = cluster.allocate(spec(gpus=1))
    second, _plan = cluster.allocate(spec(gpus=1))
    (mine,), (other,) = cluster.leases(first.id), cluster.leases(second.id)
    assert broken(cluster, lambda draft: change(draft, "leases", other.id, gpus=mine.gpus)) == [
        ("held twice", f"GPU {mine.gpus[0]} is leased to job {first.id} and job {second.id}", end_of(second))
    ]


def test_a_lease_whose_job_is_over_on_a_node_that_is_offered(cluster: Cluster, job: Job) -> None:
    end(cluster, job, cleared=["n1", "n2"])
    message = f"n3 is leased to attempt 1 of job {job.id}, which is over"
    found = ("lease without a live job", message, "recover.yml, once n3 answers")
    assert [(one.rule, one.message, one.repair) for one in cluster.view().violations] == [found]


def test_a_lease_whose_job_or_node_is_not_there(cluster: Cluster, job: Job) -> None:
    assert broken(cluster, lambda draft: draft.remove("nodes", ["n2"])) == [
        (
            "lease without a node",
            f"job {job.id} holds a lease on n2, which the state does not have",
            "sync.yml",
        )
    ]
    found = broken(cluster, lambda draft: draft.remove("jobs", [job.id]))
    assert found == [
        (
            "lease without a job",
            f"{name} is leased to job {job.id}, which the state does not have",
            f"recover.yml, once {name} answers",
        )
        for name in ("n1", "n2", "n3")
    ]


def test_a_live_job_without_its_leases(cluster: Cluster, job: Job) -> None:
    (lease,) = (lease for lease in cluster.leases() if lease.node == "n2")
    assert broken(cluster, lambda draft: draft.remove("leases", [lease.id])) == [
        ("live job without a lease", f"job {job.id} is RUNNING and holds no lease on n2", end_of(job))
    ]
    assert broken(cluster, lambda draft: change_attempt(draft, job.id, plan={})) == [
        ("live job without a lease", f"job {job.id} is RUNNING and holds no lease", end_of(job))
    ]


def test_epochs_that_do_not_rise(cluster: Cluster, job: Job) -> None:
    other = cluster.submit(spec(slots=1))
    attempt = job.attempts[0].model_dump(mode="json")

    def twice(draft: Draft) -> None:
        change(draft, "jobs", job.id, attempts=[attempt, attempt])
        change(draft, "jobs", other.id, attempts=[attempt | {"epoch": 9}])

    assert broken(cluster, twice) == [
        ("epochs rise", f"the epochs of job {job.id} do not rise: 1, 1", end_of(job)),
        (
            "epochs rise",
            f"job {other.id} has epoch 9, and the last that was given is 1",
            "muster state restore",
        ),
    ]
    assert broken(cluster, lambda draft: change(draft, "jobs", other.id, attempts=[attempt]))[-1] == (
        "epochs rise",
        f"jobs {job.id} and {other.id} both have epoch 1",
        end_of(other),
    )


def test_an_end_without_a_reason_or_a_time(cluster: Cluster, job: Job) -> None:
    end(cluster, job, cleared=["n1", "n2", "n3"])
    repair = f"muster state history --job {job.id}"
    assert broken(cluster, lambda draft: change(draft, "jobs", job.id, reason="", ended_at=None)) == [
        ("every end has a reason", f"job {job.id} is FAILED, and nothing says why", repair),
        ("every end has a time", f"job {job.id} is FAILED and has no time of its end", repair),
    ]
    succeeded = broken(cluster, lambda draft: change(draft, "jobs", job.id, state="SUCCEEDED", ended_at=job.created_at))
    assert succeeded == [], "what goes well needs no reason"


def end_of(job: Job) -> str:
    return f"release.yml -e muster_release={job.id}"
