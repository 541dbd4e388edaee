# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task ``allocation``: lease nodes for a job, give them back, or take back a launch that the nodes refused."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from ..cluster import Cluster
from ..model import Job, JobSpec, Lease, NoCapacity
from ..scheduling import RankPlan
from .call import Call, Result
from .jobs import job_spec

POLL_S = 1.0
"""How often a waiting allocation looks whether the state has changed."""

RETRY_S = 15.0
"""How often it tries again though nothing has changed: a lease that was never started lapses with time alone, and a job
that nobody follows may have ended."""

Held = Mapping[str, Sequence[str | int]]
"""What a job holds: node -> uuids of GPUs, or indices of slots."""


def change_allocation(call: Call) -> Result:
    """Do what the task's ``state`` says."""
    return {"present": _allocate, "absent": _release, "withdrawn": _withdraw}[call.params["state"]](call)


def _allocate(call: Call) -> Result:
    cluster, params = call.cluster(), call.params
    wanted: str | JobSpec = params["job"] if params["spec"] is None else job_spec(params["spec"])
    before = cluster.job(wanted) if isinstance(wanted, str) else None
    job, plan = when_free(call, cluster, before.id if before else wanted)
    held = {part.node: part.gpus or part.slots for part in plan.nodes}
    attempt = job.attempts[-1]
    return {
        "changed": True,
        "job": job.model_dump(mode="json"),
        "plan": plan.to_document(),
        "attempt": attempt.number,
        "epoch": attempt.epoch,
        **_diff(call, (before, {}), (job, held)),
    }


def when_free(call: Call, cluster: Cluster, wanted: str | JobSpec) -> tuple[Job, RankPlan]:
    """Allocate now or, where the user waits for capacity, as soon as there is some. Check mode does not wait.

    Who holds what is missing is asked about only then: most launches need not hear from other jobs' nodes. A job that
    waits for its restart waits also for nodes that are out of service: it has just lost some.
    """
    again = isinstance(wanted, str) and cluster.job(wanted).awaits_restart
    deadline = time.monotonic() + (0 if call.check_mode else call.params["wait_for_capacity_s"])
    told, next_settling = "", time.monotonic()
    while True:
        serial = cluster.store.read().serial
        try:
            return cluster.allocate(wanted, within=call.params["within"])
        except NoCapacity as error:
            if error.permanent and not again:
                raise
            if time.monotonic() >= min(next_settling, deadline) and not call.check_mode:
                next_settling = time.monotonic() + RETRY_S
                if call.settle():
                    continue
            if time.monotonic() >= deadline:
                raise
            if str(error) != told:
                told = str(error)
                call.say(f"waiting for capacity: {told}")
        retry = min(deadline, time.monotonic() + RETRY_S)
        while time.monotonic() < retry and cluster.store.read().serial == serial:
            time.sleep(POLL_S)


def _release(call: Call) -> Result:
    cluster, params = call.cluster(), call.params
    before = cluster.job(params["job"])
    leases = cluster.leases(before.id)
    doubtful = {str(name): str(why) for name, why in (params["doubtful"] or {}).items()}
    nodes = cluster.nodes()
    drained = [lease.node for lease in leases if lease.node in doubtful and nodes[lease.node].admin.state != "drained"]
    reason = {"reason": params["reason"]} if params["reason"] else {}
    after, given = cluster.release(before.id, cleared=params["cleared"] or (), doubtful=doubtful, **reason)
    gone = {lease.id for lease in given}
    return {
        "changed": bool(given or drained) or after != before,
        "job": after.model_dump(mode="json"),
        "released": [lease.model_dump(mode="json") for lease in given],
        "drained": drained,
        **_diff(call, (before, _held(leases)), (after, _held(lease for lease in leases if lease.id not in gone))),
    }


def _withdraw(call: Call) -> Result:
    cluster = call.cluster()
    job = cluster.job(call.params["job"])
    leases = cluster.leases(job.id)
    cluster.withdraw(job.id, call.params["epoch"])
    return {
        "changed": True,
        "released": [lease.model_dump(mode="json") for lease in leases],
        **_diff(call, (job, _held(leases)), (None, {})),
    }


def _held(leases: Iterable[Lease]) -> Held:
    return {lease.node: lease.gpus or lease.slots for lease in leases}


def _diff(call: Call, before: tuple[Job | None, Held], after: tuple[Job | None, Held]) -> Result:
    return {"diff": {"before": _side(*before), "after": _side(*after)}} if call.diff else {}


def _side(job: Job | None, held: Held) -> Result:
    if job is None:
        return {}
    return {"id": job.id, "name": job.name, "state": job.state, "leases": {node: list(held[node]) for node in held}}
