# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may happen to jobs and their leases, as functions over one transaction's draft."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..model import (
    ENDED,
    Admin,
    Attempt,
    InvalidInput,
    InvalidTransition,
    Job,
    JobSpec,
    Lease,
    NoCapacity,
    StaleEpoch,
    State,
    checked_transition,
    iso,
    lease_id,
    natural,
    new_job_id,
    parse,
)
from ..scheduling import Capacity, Placement, RankPlan, capacities, choose_ports, place, rank_plan
from ..store import Draft
from .finding import find, title
from .nodes import administer, load_leases, load_nodes, unknown_node
from .retention import retire

START_WITHIN_S = 600
"""How long an allocation waits for its start before its leases lapse."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. ``failure``: the first failing rank, as the agent recorded it. ``blamed``: the nodes that
    were the cause, if nodes were."""

    state: State
    reason: str = ""
    failure: dict[str, Any] | None = None
    blamed: tuple[str, ...] = ()
    unknown: bool = False
    """Whether it is only that a node has no record of it: it may have ended well, long ago."""

    @classmethod
    def of(cls, job: Job) -> Outcome:
        """How a job has ended, as the state has it: with the failure of its last attempt that ran."""
        return cls(job.state, job.reason, job.ran[-1].failure if job.ran else None)

    @property
    def mendable(self) -> bool:
        """Whether the job may do better when it is started again."""
        if self.unknown or (self.failure or {}).get("cause") == "time_limit":
            return False
        return self.state in ("FAILED", "LOST")


def submit(draft: Draft, spec: JobSpec, *, who: str, now: datetime) -> Job:
    """A new job, QUEUED. Names may repeat: each launch is a run of its own."""
    spec.refuse_exposed_secrets()
    retire(draft, now)
    identity = new_job_id(now)
    while draft.get("jobs", identity) is not None:
        identity = new_job_id(now)
    job = Job(id=identity, name=spec.name, spec=spec.without_secrets(), submitted_by=who, created_at=iso(now))
    draft.put("jobs", job.model_dump(mode="json"))
    return job


def allocate(draft: Draft, job: Job, *, within: Collection[str] | None, now: datetime) -> tuple[Job, RankPlan]:
    """Lease nodes for ``job`` (of ``within`` only, where given) and number its ranks, or raise and change nothing.

    Nodes that were the end of an earlier attempt are taken only where the job would find no place without them.
    """
    lapse(draft, now)
    job = _moved(find(draft, job.id), "ALLOCATED")
    _refuse_unwanted(job)
    nodes = load_nodes(draft)
    if within is not None and not job.ran:  # a node may have been forgotten since
        for name in within:
            if name not in nodes:
                raise unknown_node(name, nodes)
    offered = [node for name, node in nodes.items() if within is None or name in within]
    if not offered:
        raise InvalidInput("there is no node to place a job on", "run sync.yml, or widen --limit")
    leases = load_leases(draft)
    titles = {lease.job: title(draft, lease.job) for lease in leases}
    placements = _place(job, capacities(offered, leases, titles))
    epoch = draft.next_epoch()
    # Clusters that share a machine (two demos, say) begin at different ports.
    turn = epoch + zlib.crc32(draft.lineage.encode())
    port, link_port = choose_ports(turn, {port for lease in leases for port in lease.ports})
    addresses = {name: node.address for name, node in nodes.items()}
    plan = rank_plan(placements, addresses, port, link_port if len(placements) > 1 else None)
    attempt = Attempt(number=len(job.attempts) + 1, epoch=epoch, plan=plan.to_document(), allocated_at=iso(now))
    for part in plan.nodes:
        lease = Lease(
            id=lease_id(job.id, attempt.number, part.node),
            job=job.id,
            attempt=attempt.number,
            epoch=epoch,
            node=part.node,
            gpus=list(part.gpus),
            slots=list(part.slots),
            port=port if part.node_rank == 0 else None,
            link_port=plan.link_port if part.node_rank == 0 else None,
            granted_at=iso(now),
            until=iso(now + timedelta(seconds=START_WITHIN_S)),
        )
        draft.put("leases", lease.model_dump(mode="json"))
    job = job.model_copy(update={"attempts": [*job.attempts, attempt], "reason": ""})
    draft.put("jobs", job.model_dump(mode="json"))
    return job, plan


def _place(job: Job, offered: Sequence[Capacity]) -> list[Placement]:
    blamed = {node for attempt in job.attempts for node in attempt.blamed}
    better = [capacity for capacity in offered if capacity.node.name not in blamed]
    if better and len(better) < len(offered):
        with suppress(NoCapacity):
            return place(job.spec, better)
    return place(job.spec, offered)


def starting(draft: Draft, job: Job, epoch: int) -> Job:
    """From now on the leases stay until the nodes say that nothing is left."""
    _fence(job, epoch)
    _refuse_unwanted(job)
    for lease in _leases_of(draft, job):
        draft.put("leases", lease.model_copy(update={"until": None}).model_dump(mode="json"))
    return _put(draft, _moved(job, "STARTING"), {})


def running(draft: Draft, job: Job, epoch: int, *, now: datetime) -> Job:
    """Every node has started its ranks, or a lost one turned out to run on. To say it again changes nothing: a launch,
    and whoever settles what others have launched, may both see it first."""
    _fence(job, epoch)
    if job.state == "RUNNING":
        return job
    held = {lease.node for lease in _leases_of(draft, job) if lease.epoch == epoch}
    if job.attempt and (gone := {part["node"] for part in job.attempt.plan["nodes"]} - held):
        given_back = f"{', '.join(sorted(gone, key=natural))} was given back"
        raise InvalidTransition(f"job {job.id} is {job.state} and cannot become RUNNING: {given_back}")
    since = (job.attempt.started_at if job.attempt else None) or iso(now)
    first = job.started_at or since
    job = _moved(job, "RUNNING").model_copy(update={"started_at": first, "ended_at": None, "reason": ""})
    return _put(draft, job, {"started_at": since, "ended_at": None, "reason": ""})


def finish(draft: Draft, job: Job, epoch: int, outcome: Outcome, *, now: datetime) -> Job:
    """The attempt has ended so. Its leases go by :func:`release`, node by node. A job that ran, and may be restarted,
    waits for that, QUEUED."""
    _fence(job, epoch)
    again = starts_again(job, outcome)
    if job.unwanted and outcome.state in ("CANCELED", "LOST"):
        # Whoever hears of it first tells the same: why it was to end, not by which way the nodes came to know.
        lost = f"; {outcome.reason}" if outcome.state == "LOST" else ""
        outcome = replace(outcome, state="CANCELED", reason=f"{job.unwanted}{lost}")
    waiting = job.state == "QUEUED"
    if waiting and outcome.state != "CANCELED":
        raise InvalidTransition(f"job {job.id} is QUEUED and cannot become {outcome.state}: nothing of it is going on")
    job = _moved(job, outcome.state).model_copy(update={"ended_at": iso(now), "reason": outcome.reason})
    if waiting:  # its last attempt, if there was one, has ended before
        draft.put("jobs", job.model_dump(mode="json"))
        return job
    end = {"failure": outcome.failure, "reason": outcome.reason, "blamed": list(outcome.blamed)}
    job = _put(draft, job, {"ended_at": iso(now), **end})
    return _queued_again(draft, job) if again else job


def starts_again(job: Job, outcome: Outcome) -> bool:
    """Whether a job that ends so is to be started again: one that has run, and of which an attempt is going on."""
    going_on = job.state in ("STARTING", "RUNNING") and bool(job.ran)
    return going_on and outcome.mendable and not job.unwanted and job.restarts < job.spec.max_restarts


def withdraw(draft: Draft, job: Job, epoch: int, *, reason: str, now: datetime) -> None:
    """Take back a launch that the nodes refused before any process was started: no lease and no job stays, unless the
    job ran before, and waits for its restart."""
    _fence(job, epoch)
    if job.state not in ("ALLOCATED", "STARTING"):
        raise InvalidInput(f"job {job.id} is {job.state}: only a launch that has not started can be withdrawn")
    draft.remove("leases", [lease.id for lease in _leases_of(draft, job)])
    if not job.ran:
        draft.remove("jobs", [job.id])
        return
    job = _put(draft, _moved(job, "FAILED"), {"ended_at": iso(now), "reason": f"not started: {reason}"})
    _queued_again(draft, job)


def unwanted(draft: Draft, job: Job, reason: str) -> Job:
    """From now on no attempt of it is allocated or begun."""
    if job.state not in ENDED:
        job = job.model_copy(update={"unwanted": reason})
        draft.put("jobs", job.model_dump(mode="json"))
    return job


def give_up(draft: Draft, job: Job, why: str, *, now: datetime) -> Job:
    """A job that waits for its restart cannot have it: it ends as its last attempt that ran did."""
    if not job.awaits_restart:
        raise InvalidTransition(f"job {job.id} is {job.state} and does not wait for a restart")
    last = job.ran[-1]
    reason = f"{last.reason}; not restarted: {why}"
    job = _moved(job, last.state).model_copy(update={"ended_at": iso(now), "reason": reason})
    draft.put("jobs", job.model_dump(mode="json"))
    return job


def refuse(draft: Draft, job: Job, attempt: int, said: Mapping[str, str]) -> Job:
    """Note what nodes said of an attempt that others have followed (node -> in words). It counts for nothing."""
    attempts = [
        one.model_copy(update={"late": {**one.late, **said}}) if one.number == attempt else one for one in job.attempts
    ]
    job = job.model_copy(update={"attempts": attempts})
    draft.put("jobs", job.model_dump(mode="json"))
    return job


def release(
    draft: Draft,
    job: Job,
    attempt: int,
    *,
    cleared: Collection[str],
    doubtful: Mapping[str, str],
    who: str,
    now: datetime,
) -> list[Lease]:
    """Give back the attempt's leases on ``cleared`` nodes, which said that no process of it is left; returns them.

    A ``doubtful`` node (name -> why) keeps its lease and is drained with that reason.
    """
    mine = _leases_of(draft, job, attempt)
    given = [lease for lease in mine if lease.node in cleared]
    draft.remove("leases", [lease.id for lease in given])
    _offer_again(draft, job, given, who=who, now=now)
    for lease in mine:
        if lease.node in doubtful and lease not in given:
            draft.put("leases", lease.model_copy(update={"until": None}).model_dump(mode="json"))
            admin = Admin(state="drained", by=who, at=iso(now), reason=f"{_doubt(job)}{doubtful[lease.node]}")
            administer(draft, [lease.node], admin)
    return given


def _offer_again(draft: Draft, job: Job, given: Collection[Lease], *, who: str, now: datetime) -> None:
    """Take back the drain of nodes that could not give a lease back, and now have."""
    nodes, kept = load_nodes(draft), {lease.node for lease in load_leases(draft, job.id)}
    for name in {lease.node for lease in given} - kept:
        admin = nodes[name].admin if name in nodes else None
        if admin and admin.state == "drained" and admin.reason.startswith(_doubt(job)):
            administer(draft, [name], Admin(state="enabled", by=who, at=iso(now)))


def _doubt(job: Job) -> str:
    """How the reason begins why a node that keeps a lease of ``job`` is drained."""
    return f"job {job.id}: "


def lapse(draft: Draft, now: datetime) -> list[Job]:
    """Take back leases whose attempt was not started in time; their jobs are QUEUED again."""
    late = {lease.job for lease in load_leases(draft) if lease.until is not None and parse(lease.until) < now}
    back = []
    for identity in sorted(late):
        job = find(draft, identity)
        draft.remove("leases", [lease.id for lease in _leases_of(draft, job) if lease.until is not None])
        if job.state == "ALLOCATED":
            reason = f"not started within {START_WITHIN_S} s"
            job = _moved(job, "QUEUED").model_copy(update={"reason": reason})
            back.append(_put(draft, job, {"ended_at": iso(now), "reason": reason}, attempt_state="LOST"))
    return back


def is_active(job: Job) -> bool:
    """Whether the job may still have processes or leases."""
    return job.state not in ENDED


def _leases_of(draft: Draft, job: Job, attempt: int | None = None) -> list[Lease]:
    """The leases of an attempt, or of the last one."""
    number = attempt or len(job.attempts)
    return [lease for lease in load_leases(draft, job.id) if lease.attempt == number]


def _queued_again(draft: Draft, job: Job) -> Job:
    last = job.ran[-1]
    why = {"ended_at": None, "reason": f"attempt {last.number} {last.state}: {last.reason}"}
    job = _moved(job, "QUEUED").model_copy(update=why)
    draft.put("jobs", job.model_dump(mode="json"))
    return job


def _fence(job: Job, epoch: int) -> None:
    current = job.attempt.epoch if job.attempt else 0
    if epoch != current:
        raise StaleEpoch(
            f"job {job.id} is at epoch {current}; epoch {epoch} has nothing to say any more",
            "another launch or a release took over",
        )


def _refuse_unwanted(job: Job) -> None:
    if job.unwanted:
        raise InvalidTransition(f"job {job.id} is to end: {job.unwanted}")


def _moved(job: Job, state: State) -> Job:
    return job.model_copy(update={"state": checked_transition(job.id, job.state, state)})


def _put(draft: Draft, job: Job, attempt: Mapping[str, Any], attempt_state: State | None = None) -> Job:
    """Write ``job`` with its last attempt in step with it."""
    if job.attempts:
        last = job.attempts[-1].model_copy(update={"state": attempt_state or job.state, **attempt})
        job = job.model_copy(update={"attempts": [*job.attempts[:-1], last]})
    draft.put("jobs", job.model_dump(mode="json"))
    return job
