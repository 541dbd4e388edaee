# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks ``job`` and ``job_info``."""

from __future__ import annotations

from typing import Any

from ..cluster import Cluster
from ..model import ENDED, InvalidTransition, Job, JobSpec, validated
from .call import Call, Result


def change_job(call: Call) -> Result:
    """Submit a job, or cancel one that waits."""
    cluster = call.cluster()
    if call.params["state"] == "canceled":
        before, after = _cancel(cluster, call.params["job"], call.params["reason"])
    else:
        before, after = None, cluster.submit(job_spec(call.params["spec"]))
    result: Result = {"changed": before != after, "job": after.model_dump(mode="json")}
    if call.diff:
        result["diff"] = job_diff(before, after)
    return result


def jobs_info(call: Call) -> Result:
    """The jobs that all given filters accept, oldest first."""
    view = call.cluster().view()
    wanted, states = call.params["jobs"], call.params["states"]
    known = {name for job in view.jobs for name in (job["id"], job["name"])}
    return {
        "jobs": [
            job
            for job in view.jobs
            if (wanted is None or job["id"] in wanted or job["name"] in wanted)
            and (states is None or job["state"] in states)
            and not (call.params["active"] and job["state"] in ENDED)
        ],
        "missing": [name for name in wanted or () if name not in known],
        "serial": view.serial,
    }


def job_spec(document: Any) -> JobSpec:
    """What the user wrote below ``muster_job``."""
    return validated(JobSpec, document, "muster_job")


def job_diff(before: Job | None, after: Job | None) -> Result:
    """Both sides as documents; an empty one where there is no job."""
    return {
        "before": before.model_dump(mode="json") if before else {},
        "after": after.model_dump(mode="json") if after else {},
    }


def _cancel(cluster: Cluster, reference: str, reason: str | None) -> tuple[Job, Job]:
    before = cluster.job(reference)
    after = cluster.cancel(before.id, reason=reason or "canceled")
    if after.state == "CANCELED":
        return before, after
    if after.state in ENDED:
        raise InvalidTransition(f"job {after.id} has ended {after.state} and cannot be canceled any more")
    raise InvalidTransition(
        f"job {after.id} is {after.state}, and only a QUEUED job can be canceled here",
        "release.yml stops what runs on its nodes and then cancels it",
    )
