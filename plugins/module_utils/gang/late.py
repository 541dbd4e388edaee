# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attempts that still hold leases though the job has gone on: what is left of them is ended, and what they say counts
for nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from ..cluster import Cluster
from ..model import Job, Lease
from ..remote import Dial
from .report import Report, doubts
from .stop import stop_gang

WORDS = {
    "succeeded": "had succeeded",
    "failed": "had failed",
    "canceled": "had been stopped",
    "lost": "had lost it",
}


def late_leases(job: Job, leases: Iterable[Lease]) -> dict[int, list[Lease]]:
    """Of the leases of ``job``, those of attempts that are behind it, by the attempt's number. All of one moment."""
    found: dict[int, list[Lease]] = defaultdict(list)
    last = len(job.attempts)
    for lease in leases:
        if lease.job == job.id and (lease.attempt < last or (lease.attempt == last and job.awaits_restart)):
            found[lease.attempt].append(lease)
    return dict(found)


def end_late(cluster: Cluster, dial: Dial, job: Job, attempt: int, epoch: int, reports: Mapping[str, Report]) -> Job:
    """End what is left of the attempt on the nodes that answered, note what they said, and give their leases back."""
    said = words(reports)
    standing = [name for name in said if not reports[name].clear]
    after = stop_gang(dial, standing, job.id, attempt, epoch, "a later attempt has followed it")
    left = doubts(after.values())
    return cluster.give_back(job.id, attempt, cleared=said.keys() - left.keys(), doubtful=left, said=said)


def words(reports: Mapping[str, Report]) -> dict[str, str]:
    """What each node that answered says of the attempt."""
    return {name: WORDS.get(one.state, "still ran it") for name, one in reports.items() if one.state != "silent"}
