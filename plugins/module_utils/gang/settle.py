# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling a job that nobody follows: what its nodes say decides, and what is over gives its leases back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

from ..cluster import Cluster
from ..model import InvalidTransition, Job, Lease, StaleEpoch, parse, utc_now
from ..remote import Dial, fan_out
from .ask import ASK_TIMEOUT_S, ask_all
from .late import end_late, late_leases
from .report import Report, doubts
from .stop import stop_gang
from .verdict import Verdict, judge


def settle_gangs(cluster: Cluster, dial: Dial) -> list[Job]:
    """Settle every job that holds a lease, all of them at once. Returns those that ended or gave back a lease."""
    jobs, leases = cluster.held()
    before, held = {job.id: job for job in jobs}, Counter(lease.job for lease in leases)

    settled = fan_out({name: partial(settle_gang, cluster, dial, job) for name, job in before.items()})
    after = {name: outcome.get() for name, outcome in settled.items()}
    left = Counter(lease.job for lease in cluster.leases())
    return [job for name, job in after.items() if job.state != before[name].state or left[name] != held[name]]


def settle_gang(cluster: Cluster, dial: Dial, job: Job) -> Job:
    """Ask the nodes that hold leases of ``job``; end and release it if it is over, else leave it as it is.

    A job of which one part has failed is over: the other parts are stopped. Nothing is concluded from the silence of a
    node. If somebody else, another launch perhaps, settles it at the same moment, it is returned as that left it.
    """
    try:
        return _settled(cluster, dial, job)
    except (InvalidTransition, StaleEpoch):
        return cluster.job(job.id)


def _settled(cluster: Cluster, dial: Dial, job: Job) -> Job:
    job, leases = cluster.holding(job.id)
    late = late_leases(job, leases)
    for attempt, mine in late.items():
        job = end_late(cluster, dial, job, attempt, mine[0].epoch, _ask(dial, mine))
    mine = [lease for lease in leases if lease.attempt not in late]
    if not mine or job.state == "ALLOCATED":
        return job
    reports = _ask(dial, mine)
    return carry_out(cluster, dial, job, judge(job, reports, age=age_of(job)), reports)


def _ask(dial: Dial, leases: Sequence[Lease]) -> dict[str, Report]:
    """What the nodes of these leases, which are of one attempt, say of it."""
    words = ["status", "--job", leases[0].job, "--attempt", str(leases[0].attempt)]
    return ask_all(dial, sorted(lease.node for lease in leases), words, timeout_s=ASK_TIMEOUT_S)


def age_of(job: Job) -> timedelta:
    """How long ago its start began."""
    attempt = job.attempt
    begun = (attempt.started_at or attempt.allocated_at) if attempt else None
    return utc_now() - parse(begun or job.created_at)


def carry_out(cluster: Cluster, dial: Dial, job: Job, verdict: Verdict, reports: Mapping[str, Report]) -> Job:
    """Do what was decided. Nodes that cannot say that nothing is left keep their lease, and are drained."""
    attempt = job.attempt
    if attempt is None or verdict.idle:
        return job
    if verdict.runs:
        job = cluster.running(job.id, attempt.epoch)
    if not verdict.over:
        return job
    heard = {name: one for name, one in reports.items() if one.state != "silent"}
    standing = [name for name, one in heard.items() if not one.clear]
    heard |= stop_gang(dial, standing, job.id, attempt.number, attempt.epoch, "another part of the job has ended")
    cleared = [name for name, one in heard.items() if one.clear]
    doubtful = doubts(one for one in ({**reports, **heard}).values() if not one.clear)
    if verdict.end is None or job.state == verdict.end.state:
        return cluster.release(job.id, cleared=cleared, doubtful=doubtful, reason=job.reason)[0]
    return cluster.finish(job.id, attempt.epoch, verdict.end, cleared=cleared, doubtful=doubtful)
