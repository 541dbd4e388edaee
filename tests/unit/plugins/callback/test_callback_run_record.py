# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of Ansible saw, written down; and what it left, put right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster, Outcome, open_cluster
from ansible_collections.muster.training.plugins.module_utils.model import Job, JobSpec, iso, utc_now
from ansible_collections.muster.training.plugins.plugin_utils.run_record import RunRecord

Specs = Callable[..., JobSpec]


@pytest.fixture
def record(cluster: Cluster) -> RunRecord:
    return RunRecord(cluster)


def nodes(cluster: Cluster) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in cluster.view().nodes}


def content(location: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(location).rglob("*") if path.is_file()}


def release_command(job: str) -> str:
    return f"release {job}"


def allocated(cluster: Cluster, record: RunRecord, spec: JobSpec) -> Job:
    """A job that the run allocated."""
    job, _plan = cluster.allocate(spec)
    result = {"changed": True, "job": job.model_dump(mode="json"), "epoch": job.attempts[-1].epoch}
    record.saw("allocation", "present", result)
    return job


def test_who_was_reached_and_who_was_not_is_one_transaction(cluster: Cluster, record: RunRecord) -> None:
    before, transactions = nodes(cluster), cluster.store.transactions
    record.reached("n1")
    record.reached("n2")
    record.missed("n3", "Task failed: Failed to connect:\n  no route")
    record.write_contacts()
    assert cluster.store.transactions - transactions == 1
    rows = nodes(cluster)
    assert [rows[name]["last_seen"] > before[name]["last_seen"] for name in ("n1", "n2", "n3")] == [True, True, False]
    assert rows["n3"]["status"] == "unreachable"
    assert rows["n3"]["reachability"]["reason"] == "Failed to connect: no route"


def test_contacts_that_change_nothing_but_the_time_are_no_transaction(cluster: Cluster, record: RunRecord) -> None:
    record.reached("n1")
    before = cluster.store.transactions
    record.write_contacts()
    record.write_contacts()
    assert cluster.store.transactions == before


def test_a_contact_counts_from_when_it_was_and_not_from_when_it_was_written(
    cluster: Cluster, record: RunRecord
) -> None:
    record.reached("n1")
    between = iso(utc_now())
    record.write_contacts()
    assert nodes(cluster)["n1"]["last_seen"] <= between


def test_the_last_contact_with_a_node_counts(cluster: Cluster, record: RunRecord) -> None:
    record.missed("n1", "no route")
    record.reached("n1")
    record.reached("n2")
    record.missed("n2", "no route")
    record.write_contacts()
    assert [nodes(cluster)[name]["status"] for name in ("n1", "n2")] == ["idle", "unreachable"]
    assert record.unreachable == {"n2": "no route"}


def test_hosts_that_are_no_nodes_leave_no_trace(cluster: Cluster, record: RunRecord, location: str) -> None:
    before = content(location)
    record.reached("web1")
    record.missed("web2", "no route")
    record.write_contacts()
    assert content(location) == before
    assert not record.touched


def test_a_store_that_does_not_exist_is_not_made(location: str) -> None:
    record = RunRecord(open_cluster(location, actor="test"))
    record.reached("n1")
    record.write_contacts()
    assert record.settle(orderly=False, release_command=release_command) == []
    assert not Path(location).exists()


def test_in_check_mode_nothing_is_written(cluster: Cluster, location: str, spec: Specs) -> None:
    job, _plan = cluster.allocate(spec())
    before = content(location)
    record = RunRecord(open_cluster(location, actor="test", dry_run=True))
    record.reached("n1")
    record.missed("n2", "no route")
    record.saw("allocation", "present", {"job": job.model_dump(mode="json")})
    record.write_contacts()
    record.settle(orderly=False, release_command=release_command)
    assert content(location) == before


def test_a_run_that_dies_gives_back_what_it_had_not_started(cluster: Cluster, record: RunRecord, spec: Specs) -> None:
    job = allocated(cluster, record, spec())
    held = cluster.leases()[0].node
    said = record.settle(orderly=False, release_command=release_command)
    assert said == [f"job ring ({job.id}) was not started: it is canceled and {held} released"]
    assert cluster.leases() == []
    assert cluster.job(job.id).state == "CANCELED"


def test_a_job_that_is_being_started_at_that_moment_is_left_alone(
    cluster: Cluster, record: RunRecord, spec: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = allocated(cluster, record, spec())
    a_moment_ago = cluster.view()
    cluster.starting(job.id, job.attempts[-1].epoch)
    monkeypatch.setattr(cluster, "view", lambda: a_moment_ago)
    (said,) = record.settle(orderly=False, release_command=release_command)
    assert "is STARTING on" in said
    assert len(cluster.leases()) == 1


@pytest.mark.parametrize("state", ["STARTING", "RUNNING"])
def test_a_run_that_dies_leaves_what_it_started_and_says_how_to_end_it(
    cluster: Cluster, record: RunRecord, spec: Specs, state: str
) -> None:
    job = allocated(cluster, record, spec())
    cluster.starting(job.id, job.attempts[-1].epoch)
    if state == "RUNNING":
        cluster.running(job.id, job.attempts[-1].epoch)
    held = cluster.leases()[0].node
    assert record.settle(orderly=False, release_command=release_command) == [
        f"job ring ({job.id}) is {state} on {held} and nobody waits for it any more. "
        f"To end it and release its nodes: release {job.id}"
    ]
    assert cluster.job(job.id).state == state
    assert [lease.node for lease in cluster.leases()] == [held]


def test_a_run_that_dies_before_a_restart_says_who_brings_it(cluster: Cluster, record: RunRecord, spec: Specs) -> None:
    job = allocated(cluster, record, spec(max_restarts=1))
    epoch = job.attempts[-1].epoch
    cluster.starting(job.id, epoch)
    cluster.running(job.id, epoch)
    cluster.finish(job.id, epoch, Outcome("FAILED", "exit code 1"), cleared=[cluster.leases()[0].node])
    for allocate in (lambda: None, lambda: cluster.allocate(job.id)):
        allocate()
        assert record.settle(orderly=False, release_command=release_command) == [
            f"job ring ({job.id}) was to be started again, and nobody waits for that any more: recover.yml does it. "
            f"To let go of it: release {job.id}"
        ]
    assert cluster.job(job.id).state == "ALLOCATED", "it lapses by itself"


def test_a_job_that_was_placed_anew_when_it_was_started_is_the_runs_too(
    cluster: Cluster, record: RunRecord, spec: Specs
) -> None:
    """Around a node that did not answer: the job that runs then is not the one that was allocated."""
    job, _plan = cluster.allocate(spec())
    cluster.starting(job.id, job.attempts[-1].epoch)
    record.saw("gang", "started", {"job": {"id": job.id, "name": job.name, "state": "STARTING"}})
    (said,) = record.settle(orderly=False, release_command=release_command)
    assert f"job ring ({job.id}) is STARTING" in said


def test_a_run_that_dies_does_not_touch_the_jobs_of_others(cluster: Cluster, record: RunRecord, spec: Specs) -> None:
    other, _plan = cluster.allocate(spec(name="other"))
    mine = allocated(cluster, record, spec())
    record.settle(orderly=False, release_command=release_command)
    assert (cluster.job(other.id).state, cluster.job(mine.id).state) == ("ALLOCATED", "CANCELED")


def test_a_run_that_ends_in_order_keeps_its_allocation_for_the_next(
    cluster: Cluster, record: RunRecord, spec: Specs
) -> None:
    job = allocated(cluster, record, spec())
    assert record.settle(orderly=True, release_command=release_command) == []
    assert cluster.job(job.id).state == "ALLOCATED"


def test_a_job_that_was_taken_back_is_nothing_to_settle(cluster: Cluster, record: RunRecord, spec: Specs) -> None:
    job = allocated(cluster, record, spec())
    cluster.withdraw(job.id, job.attempts[-1].epoch)
    assert record.settle(orderly=False, release_command=release_command) == []


def test_looking_at_jobs_does_not_make_them_jobs_of_the_run(cluster: Cluster, record: RunRecord, spec: Specs) -> None:
    cluster.submit(spec())
    record.saw("job_info", "present", {"jobs": cluster.view().jobs})
    record.saw("ranks", "started", {"job": "0q5k2mx7d4"})
    assert record.jobs == []
    assert record.touched
