# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling a job that nobody follows: what its nodes say decides, and what is over gives its leases back."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial

from ..cluster import Cluster, Outcome
from ..model import ENDED as ENDED_JOBS
from ..model import InvalidTransition, Job, StaleEpoch, parse, utc_now
from ..remote import fan_out
from .ask import Dial, ask_all
from .report import doubts, outcome
from .stop import stop_gang

ASK_TIMEOUT_S = 30.0
GOING_WELL = ("starting", "running", "succeeded")
UNDECIDED_FOR = timedelta(seconds=150)
"""How long a start may take: younger jobs that do not run yet are left to whoever launches them."""


def settle_gangs(cluster: Cluster, dial: Dial) -> list[Job]:
    """Settle every job that holds a lease, all of them at once. Returns those that ended or gave back a lease."""
    held = Counter(lease.job for lease in cluster.leases())
    before = {job: cluster.job(job) for job in held}

    def settle(job: Job) -> Job:
        try:
            return settle_gang(cluster, dial, job)
        except (InvalidTransition, StaleEpoch):
            return cluster.job(job.id)  # somebody else, another launch perhaps, settled it at the same moment

    settled = fan_out({name: partial(settle, job) for name, job in before.items()})
    after = {name: outcome.get() for name, outcome in settled.items()}
    left = Counter(lease.job for lease in cluster.leases())
    return [job for name, job in after.items() if job.state != before[name].state or left[name] != held[name]]


def settle_gang(cluster: Cluster, dial: Dial, job: Job) -> Job:
    """Ask the nodes that hold leases of ``job``; end and release it if it is over, else leave it as it is.

    A job of which one part has failed is over: the other parts are stopped. A node that does not answer keeps its
    lease, and nothing is concluded from its silence.
    """
    attempt = job.attempt
    leased = sorted(lease.node for lease in cluster.leases(job.id))
    if attempt is None or not leased:
        return job
    begun = parse(attempt.started_at or attempt.allocated_at or job.created_at)
    if job.state == "ALLOCATED" or (job.state == "STARTING" and utc_now() - begun < UNDECIDED_FOR):
        return job
    words = ["status", "--job", job.id, "--attempt", str(attempt.number)]
    reports = ask_all(dial, leased, words, timeout_s=ASK_TIMEOUT_S)
    heard = {name: one for name, one in reports.items() if one.state != "silent"}
    if job.state == "STARTING" and any((one.status or {}).get("started_at") for one in heard.values()):
        # Its launch died after the gate had opened: it runs, or ran, and its end is to be told as it is.
        job = cluster.running(job.id, attempt.epoch)
    if job.state not in ENDED_JOBS:
        failed = any(one.state not in GOING_WELL for one in heard.values())
        succeeded = len(heard) == len(leased) and all(one.state == "succeeded" for one in heard.values())
        if not failed and not succeeded:
            return job
    standing = [name for name, one in heard.items() if not one.clear]
    heard |= stop_gang(dial, standing, job.id, attempt.number, attempt.epoch, "another part of the job has ended")
    cleared = [name for name, one in heard.items() if one.clear]
    doubtful = doubts(one for one in heard.values() if not one.clear)
    if job.state in ENDED_JOBS:
        return cluster.release(job.id, cleared=cleared, doubtful=doubtful, reason=job.reason)[0]
    end = outcome(list(heard.values())) if job.state == "RUNNING" else Outcome("FAILED", "its launch was interrupted")
    return cluster.finish(job.id, attempt.epoch, end, cleared=cleared, doubtful=doubtful)
