# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the state true after whatever happened: every node is asked once, and each job gets the end that it had."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from ..cluster import Cluster, starts_again
from ..model import (
    InvalidInput,
    InvalidTransition,
    Job,
    Lease,
    NoCapacity,
    NotFound,
    StaleEpoch,
    natural,
    parse,
    utc_now,
)
from ..remote import Dial
from .late import end_late, late_leases, words
from .report import Report, Status
from .restart import Means, restart_gang
from .settle import age_of, carry_out
from .start import with_secrets
from .stop import stop_gang
from .survey import Survey, survey_all
from .verdict import Verdict, judge

LOST_AFTER = timedelta(hours=2)
"""How long a node may be silent before its part of a job is given up."""


@dataclass(frozen=True)
class Finding:
    """What was found of a job, where, and what was done about it; ``done`` is empty where there was nothing to do."""

    job: str
    name: str
    nodes: tuple[str, ...]
    found: str
    done: str = ""


@dataclass(frozen=True)
class Recovered:
    """What :func:`recover_gangs` found, job by job, and the nodes that did not answer (name -> why)."""

    findings: list[Finding]
    unreachable: dict[str, str]

    @property
    def changed(self) -> bool:
        """Whether anything was done, or would be."""
        return any(one.done for one in self.findings)


def recover_gangs(
    cluster: Cluster, dial: Dial, nodes: Collection[str], *, lost_after: timedelta = LOST_AFTER
) -> Recovered:
    """Ask ``nodes``, and those that hold a lease, what runs on them; make the state true, and end what nobody owns.

    Nodes that do not answer are marked unreachable. With a cluster of ``dry_run`` it is only said what would be done.
    """
    holders, leases = cluster.held()
    jobs = {job.id: job for job in holders}
    wanted: dict[str, list[tuple[str, int]]] = {name: [] for name in nodes}
    for lease in leases:
        wanted.setdefault(lease.node, []).append((lease.job, lease.attempt))
    surveys = survey_all(dial, wanted)
    unreachable = {name: one.error for name, one in surveys.items() if one.error}
    silences = _silences(cluster, unreachable)
    cluster.contacted(surveys.keys() - unreachable.keys(), unreachable)
    findings = list(_lapsed(cluster, leases, jobs))
    for job in jobs.values():
        late = late_leases(job, leases)
        for attempt, old in late.items():
            findings.append(_late(cluster, dial, job, attempt, old[0].epoch, _reports(old, surveys)))
        mine = [lease for lease in leases if lease.job == job.id and lease.attempt not in late]
        if mine and job.state != "ALLOCATED":
            findings.append(_settled(cluster, dial, job, _reports(mine, surveys), silences, lost_after))
    findings += _strangers(cluster, dial, surveys.values(), leases)
    orphans = [lease for lease in leases if lease.job not in jobs]
    findings += _orphans(cluster, dial, orphans, surveys)
    known = cluster.nodes()
    means = Means(within=[name for name in nodes if name in known])
    findings += [_restarted(cluster, dial, job, means) for job in cluster.awaiting_restart()]
    return Recovered(findings, unreachable)


def _reports(leases: Iterable[Lease], surveys: Mapping[str, Survey]) -> dict[str, Report]:
    return {one.node: surveys[one.node].report(one.job, one.attempt, one.epoch) for one in leases}


def _silences(cluster: Cluster, silent: Iterable[str]) -> dict[str, timedelta]:
    """For how long each of these nodes has not been heard of; of one that never was, since its lease."""
    now, since = utc_now(), {lease.node: lease.granted_at for lease in cluster.leases()}
    seen = {row["name"]: row["last_seen"] for row in cluster.view().nodes}
    last = {name: max(seen.get(name) or "", since.get(name) or "") for name in silent}
    return {name: now - parse(at) if at else timedelta(0) for name, at in last.items()}


def _lapsed(cluster: Cluster, leases: Iterable[Lease], jobs: Mapping[str, Job]) -> Iterator[Finding]:
    """Allocations that nobody has started in time."""
    waiting = {lease.job: lease for lease in leases if lease.until is not None}
    late = {job for job, lease in waiting.items() if parse(lease.until or "") < utc_now()}
    back = {job.id for job in cluster.lapse()} if late else set()
    for identity, lease in waiting.items():
        job = jobs.get(identity)
        held = tuple(sorted((one.node for one in leases if one.job == identity), key=natural))
        if job is None:
            continue
        if identity not in late:
            yield Finding(identity, job.name, held, f"waits for its start, until {lease.until}")
        elif identity in back:
            done = "would be QUEUED again" if cluster.dry_run else "is QUEUED again"
            yield Finding(identity, job.name, held, "was not started in time", f"{done}, its leases given back")


def _settled(
    cluster: Cluster,
    dial: Dial,
    job: Job,
    reports: Mapping[str, Report],
    silences: Mapping[str, timedelta],
    lost_after: timedelta,
) -> Finding:
    verdict = judge(job, reports, age=age_of(job), silent_for=silences, lost_after=lost_after)
    names = tuple(sorted(reports, key=natural))
    if verdict.idle or cluster.dry_run:
        return Finding(job.id, job.name, names, verdict.found, _intent(job, verdict))
    try:
        after = carry_out(cluster, dial, job, verdict, reports)
    except (InvalidTransition, StaleEpoch, NotFound):  # a launch perhaps, at the same moment
        return Finding(job.id, job.name, names, f"{verdict.found}; somebody else has settled it meanwhile")
    left = [lease.node for lease in cluster.leases(job.id) if lease.node in reports]
    done = f"is {after.state}" if after.state != job.state else ""
    if verdict.over:
        done += f"{', ' if done else ''}{_given(len(reports), left)}"
    return Finding(job.id, job.name, names, verdict.found, done)


def _late(cluster: Cluster, dial: Dial, job: Job, attempt: int, epoch: int, reports: Mapping[str, Report]) -> Finding:
    """What nodes say of an attempt when the job has gone on."""
    said = words(reports)
    silent = sorted(reports.keys() - said.keys(), key=natural)
    told = [f"{name} {said[name]}" for name in sorted(said, key=natural)]
    told += [f"no word from {', '.join(silent)}"] if silent else []
    found = f"attempt {attempt} (epoch {epoch}), which is behind it: {', '.join(told)}"
    names = tuple(sorted(reports, key=natural))
    if not said or cluster.dry_run:
        done = "would be stopped where it runs, its leases given back: it does not count" if said else ""
        return Finding(job.id, job.name, names, found, done)
    try:
        end_late(cluster, dial, job, attempt, epoch, reports)
    except (InvalidTransition, NotFound):
        return Finding(job.id, job.name, names, f"{found}; somebody else has settled it meanwhile")
    left = [lease.node for lease in cluster.leases(job.id) if lease.attempt == attempt]
    return Finding(job.id, job.name, names, found, f"does not count; {_given(len(reports), left)}")


def _given(held: int, left: Sequence[str]) -> str:
    kept = f"; {', '.join(left)} cannot say that nothing is left, and is drained" if left else ""
    return f"{held - len(left)} of {held} leases given back{kept}"


def _intent(job: Job, verdict: Verdict) -> str:
    """What would be done."""
    if verdict.idle:
        return ""
    state = verdict.end.state if verdict.end else "RUNNING" if verdict.runs else job.state
    if verdict.end and starts_again(_running(job) if verdict.runs else job, verdict.end):
        return "would be started again, what is left of it stopped"
    told = f"would be {state}" if state != job.state else "would give its leases back"
    return f"{told}, what is left of it stopped" if verdict.over and state != "SUCCEEDED" else told


def _running(job: Job) -> Job:
    """The job as it is when the state says that its last attempt runs."""
    attempt = job.attempts[-1].model_copy(update={"started_at": job.attempts[-1].allocated_at})
    return job.model_copy(update={"state": "RUNNING", "attempts": [*job.attempts[:-1], attempt]})


def _strangers(cluster: Cluster, dial: Dial, surveys: Iterable[Survey], settled: Sequence[Lease]) -> Iterator[Finding]:
    """What runs on nodes for nobody that the state knows of, nor held these leases before."""
    lineage = cluster.lineage()
    # Read after the nodes were asked: what was launched meanwhile has its leases already.
    held = {(one.job, one.node, one.epoch) for one in [*settled, *cluster.leases()]}
    for survey in surveys:
        for status in survey.alive():
            owner = (str(status["job"]), survey.node, status["epoch"])
            if status.get("lineage") == lineage and owner not in held:
                yield _ended(cluster, dial, survey.node, status)


def _orphans(
    cluster: Cluster, dial: Dial, orphans: Iterable[Lease], surveys: Mapping[str, Survey]
) -> Iterator[Finding]:
    """Leases of jobs that the state does not have: what runs of them is ended, and they are given back."""
    given = []
    for lease in orphans:
        survey, found = surveys[lease.node], "holds a lease, and the state has no such job"
        one = survey.report(lease.job, lease.attempt, lease.epoch)
        done = "would give its lease back, what is left of it stopped"
        if survey.error:
            found, done = f"{found}, no word from {lease.node}", ""
        elif not cluster.dry_run:
            if not one.clear:
                why = "the state has no such job"
                one = stop_gang(dial, [lease.node], lease.job, lease.attempt, lease.epoch, why)[lease.node]
            given += [lease.id] if one.clear else []
            done = "its lease was given back" if one.clear else _still_there(one)
        yield Finding(lease.job, "", (lease.node,), found, done)
    if given:
        cluster.forget_leases(given)


def _restarted(cluster: Cluster, dial: Dial, job: Job, means: Means) -> Finding:
    """A job that waits for its restart gets it, unless its nodes are missing: then it goes on waiting."""
    nth = f"restart {job.restarts + 1} of {job.spec.max_restarts}"
    if cluster.attended(job.id):
        return Finding(job.id, job.name, (), f"{job.reason}; its launch is to start it again")
    if cluster.dry_run:
        return Finding(job.id, job.name, (), job.reason, _intended(job, nth))
    try:
        after = restart_gang(cluster, dial, job, means)
    except (NoCapacity, InvalidInput) as error:
        return Finding(job.id, job.name, (), f"{job.reason}; waits for nodes: {error}")
    except (InvalidTransition, StaleEpoch, NotFound):
        return Finding(job.id, job.name, (), f"{job.reason}; somebody else starts it again, or ends it")
    if isinstance(after, Job):
        return Finding(job.id, job.name, (), job.reason, f"is {after.state}: {after.reason}")
    names = tuple(part.node for part in after.plan.nodes)
    return Finding(job.id, job.name, names, job.reason, f"runs again ({nth})")


def _intended(job: Job, nth: str) -> str:
    try:
        with_secrets(job.spec, None)
    except InvalidInput as error:
        return f"would be given up: {error}"
    return f"would be started again ({nth})"


def _ended(cluster: Cluster, dial: Dial, node: str, status: Status) -> Finding:
    job, attempt, epoch = str(status["job"]), int(status["attempt"]), int(status["epoch"])
    found = f"attempt {attempt} (epoch {epoch}) is alive, and holds no lease"
    if cluster.dry_run:
        return Finding(job, str(status["name"]), (node,), found, "would be stopped")
    after = stop_gang(dial, [node], job, attempt, epoch, "the state knows of no lease of it")[node]
    return Finding(job, str(status["name"]), (node,), found, "stopped" if after.clear else _still_there(after))


def _still_there(one: Report) -> str:
    return f"could not be stopped: {one.error or 'processes are left'}"
