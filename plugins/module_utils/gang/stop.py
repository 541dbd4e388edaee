# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping a gang: every node at once, until each says that nothing is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..cluster import Cluster
from ..model import ENDED, Job, Lease, NotFound
from ..remote import Dial
from .ask import ask_all
from .report import Report, doubts

STOP_MARGIN_S = 30.0


def stop_gang(
    dial: Dial, nodes: Iterable[str], job: str, attempt: int, epoch: int, reason: str, grace_s: float | None = None
) -> dict[str, Report]:
    """End everything that the attempt started on ``nodes``; each node's last word, by name.

    A node that never heard of the attempt has nothing of it, and reports a status of its own for that.
    """
    words = ["stop", "--job", job, "--attempt", str(attempt), "--epoch", str(epoch), "--reason", reason]
    if grace_s is not None:
        words += ["--grace", str(grace_s)]
    after = ask_all(dial, nodes, words, timeout_s=(grace_s or 10) + STOP_MARGIN_S)
    nothing = {"state": "canceled", "left": 0}
    return {name: one if one.status or one.error else Report(name, nothing) for name, one in after.items()}


def to_be_released(cluster: Cluster, references: Sequence[str]) -> list[Job]:
    """Of these jobs (ids or names, or ``all``), each once, those that have not ended or still hold a lease.

    Raises :class:`NotFound` for a job that is not there.
    """
    if list(references) == ["all"]:
        rows = cluster.view().jobs
        found = [cluster.job(row["id"]) for row in rows if row["leased"] or row["state"] not in ENDED]
    else:
        found = [cluster.job(reference) for reference in references]
    once = {job.id: job for job in found}
    return [job for job in once.values() if job.state not in ENDED or cluster.leases(job.id)]


def release_gang(cluster: Cluster, dial: Dial, job: Job, reason: str) -> tuple[Job, dict[str, str]]:
    """End ``job`` wherever it holds a lease, and give those leases back. Returns it, and the nodes left in doubt."""
    withdrawn = job.model_copy(update={"state": "CANCELED", "reason": reason})
    try:
        # First of all: whoever follows it would start it again.
        job, leases = cluster.unwanted(job.id, reason)
    except NotFound:  # its own launch has taken it back meanwhile: it had not begun
        return withdrawn, {}
    held: dict[int, list[Lease]] = defaultdict(list)
    for lease in leases:
        held[lease.attempt].append(lease)
    last, released = len(job.attempts), job
    doubtful: dict[str, str] = {}
    for attempt in sorted({*held, last}):  # the job goes with its last attempt, whether that holds a lease or not
        nodes = sorted(lease.node for lease in held[attempt])
        after: dict[str, Report] = {}
        if nodes:
            after = stop_gang(dial, nodes, job.id, attempt, held[attempt][0].epoch, reason, job.spec.grace_s)
        doubtful |= (left := doubts(after.values()))
        cleared = [name for name in nodes if name not in left]
        if attempt == last:
            try:
                released, _leases = cluster.release(job.id, cleared=cleared, doubtful=left, reason=reason)
            except NotFound:
                released = withdrawn
        else:
            cluster.give_back(job.id, attempt, cleared=cleared, doubtful=left)
    return released, doubtful
