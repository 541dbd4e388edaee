# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of the state at any time, whoever died in the middle of whatever."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..model import ENDED, Lease
from ..store import Tables
from .nodes import load_leases

Row = Mapping[str, Any]
"""A job or a node as the state has it: of thousands of old jobs none is made an object of."""

HOLDING = ("ALLOCATED", "STARTING", "RUNNING")
"""The states of jobs that hold a lease on each of their nodes."""


@dataclass(frozen=True)
class Violation:
    """One thing that is not as it must be: which ``rule`` it breaks, what is wrong, and the command that mends it."""

    rule: str
    message: str
    repair: str

    def __str__(self) -> str:
        return f"{self.message} (to mend it: {self.repair})"


def violations(tables: Tables) -> list[Violation]:
    """What does not hold of the state; empty if all is well. What the nodes say is not looked at."""
    jobs = {row["id"]: row for row in tables.all("jobs")}
    leases = load_leases(tables)
    nodes = {name: tables.get("nodes", name) for name in {lease.node for lease in leases}}
    return [
        *_held_twice(leases),
        *_leases_of_nobody(nodes, jobs, leases),
        *_jobs_without_leases(jobs.values(), leases),
        *_epochs_that_fall(jobs.values(), tables.epoch),
        *_ends_without_reason(jobs.values()),
    ]


def _held_twice(leases: Iterable[Lease]) -> Iterator[Violation]:
    holders: dict[str, list[Lease]] = defaultdict(list)
    for lease in leases:
        for uuid in lease.gpus:
            holders[f"GPU {uuid}"].append(lease)
        for slot in lease.slots:
            holders[f"slot {slot} of {lease.node}"].append(lease)
        for port in lease.ports:
            holders[f"port {port} of {lease.node}"].append(lease)
    for what, several in holders.items():
        if len(several) > 1:
            latest = max(several, key=lambda lease: lease.epoch)
            named = " and ".join(f"job {lease.job}" for lease in several)
            yield Violation("held twice", f"{what} is leased to {named}", _end(latest.job))


def _leases_of_nobody(
    nodes: Mapping[str, Row | None], jobs: Mapping[str, Row], leases: Iterable[Lease]
) -> Iterator[Violation]:
    for lease in leases:
        job, node = jobs.get(lease.job), nodes[lease.node]
        ask_it = f"recover.yml, once {lease.node} answers"
        if job is None:
            message = f"{lease.node} is leased to job {lease.job}, which the state does not have"
            yield Violation("lease without a job", message, ask_it)
        elif node is None:
            message = f"job {lease.job} holds a lease on {lease.node}, which the state does not have"
            yield Violation("lease without a node", message, "sync.yml")
        elif not _is_of_now(job, lease) and node["admin"]["state"] == "enabled":
            message = f"{lease.node} is leased to attempt {lease.attempt} of job {lease.job}, which is over"
            yield Violation("lease without a live job", message, ask_it)


def _jobs_without_leases(jobs: Iterable[Row], leases: Iterable[Lease]) -> Iterator[Violation]:
    held = {(lease.job, lease.epoch, lease.node) for lease in leases}
    for job in jobs:
        if job["state"] in HOLDING:
            planned = [(job["id"], _epoch(job), part["node"]) for part in _plan(job)]
            without = [node for identity, epoch, node in planned if (identity, epoch, node) not in held]
            if without or not planned:
                message = f"job {job['id']} is {job['state']} and holds no lease"
                message += f" on {', '.join(without)}" if without else ""
                yield Violation("live job without a lease", message, _end(job["id"]))


def _epochs_that_fall(jobs: Iterable[Row], given: int) -> Iterator[Violation]:
    owner: dict[int, str] = {}
    for job in jobs:
        name, epochs = job["id"], [attempt["epoch"] for attempt in job["attempts"]]
        if epochs != sorted(set(epochs)):
            told = ", ".join(map(str, epochs))
            yield Violation("epochs rise", f"the epochs of job {name} do not rise: {told}", _end(name))
        for epoch in set(epochs):
            if epoch > given:
                message = f"job {name} has epoch {epoch}, and the last that was given is {given}"
                yield Violation("epochs rise", message, "muster state restore")
            if owner.setdefault(epoch, name) != name:
                message = f"jobs {owner[epoch]} and {name} both have epoch {epoch}"
                yield Violation("epochs rise", message, _end(name))


def _ends_without_reason(jobs: Iterable[Row]) -> Iterator[Violation]:
    for job in jobs:
        ended, repair = job["state"] in ENDED, f"muster state history --job {job['id']}"
        if ended and job["state"] != "SUCCEEDED" and not job["reason"]:
            message = f"job {job['id']} is {job['state']}, and nothing says why"
            yield Violation("every end has a reason", message, repair)
        if ended != (job["ended_at"] is not None):
            when = "has no time of its end" if ended else f"has ended at {job['ended_at']}"
            yield Violation("every end has a time", f"job {job['id']} is {job['state']} and {when}", repair)


def _is_of_now(job: Row, lease: Lease) -> bool:
    return job["state"] in HOLDING and _epoch(job) == lease.epoch


def _epoch(job: Row) -> int:
    return int(job["attempts"][-1]["epoch"]) if job["attempts"] else 0


def _plan(job: Row) -> list[Any]:
    return list(job["attempts"][-1]["plan"].get("nodes", [])) if job["attempts"] else []


def _end(job: str) -> str:
    return f"release.yml -e muster_release={job}"
