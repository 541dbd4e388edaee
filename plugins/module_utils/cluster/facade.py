# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster: one method a transaction. Every door (module, plugin, command, controller) goes through here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..model import (
    Admin,
    Health,
    InvalidTransition,
    Job,
    JobSpec,
    Lease,
    Node,
    NodeFacts,
    before,
    iso,
    moment,
    parse,
    utc_now,
)
from ..scheduling import RankPlan
from ..store import Draft, Record, Store, open_store
from . import drains, imports, jobs, nodes, retention
from .drains import Drains
from .finding import age, find, unknown_job
from .history import has_node, ids_of, touching
from .jobs import Outcome
from .nodes import NodeChange
from .view import View

ATTENDED_FOR = timedelta(seconds=60)
"""How long after its last word a launch is taken to follow its job."""


class Cluster:
    """The state of one cluster, and what may be done to it.

    ``actor`` is written with each change, and ``origin``: through what it was made (a play, a job of AWX). With
    ``dry_run`` every method decides as usual and nothing is written: check mode. All methods raise subclasses of
    :class:`MusterError`, and then nothing was changed.
    """

    def __init__(
        self,
        store: Store,
        *,
        actor: str,
        origin: str = "",
        dry_run: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.origin = origin
        self.actor = actor
        self.dry_run = dry_run
        self._clock = clock

    def view(self) -> View:
        """Everything at one point in time, without a lock."""
        return View(self.store.read(), self.store.contacts)

    def lineage(self) -> str:
        """Which cluster's state this is; epochs are compared within one lineage only."""
        return self.store.read().lineage

    def job(self, reference: str) -> Job:
        """The job with this id, or the latest of this name; :class:`NotFound` if there is none."""
        return find(self.store.read(), reference)

    def nodes(self) -> dict[str, Node]:
        """All nodes by name."""
        return nodes.load_nodes(self.store.read())

    def leases(self, job: str | None = None) -> list[Lease]:
        """All leases, or those of the job with this id."""
        return nodes.load_leases(self.store.read(), job)

    def held(self) -> tuple[list[Job], list[Lease]]:
        """All leases, and the jobs that hold them (oldest first, as far as the state has them), at one moment."""
        tables = self.store.read()
        leases = nodes.load_leases(tables)
        named = sorted({lease.job for lease in leases})
        return [find(tables, job) for job in named if tables.get("jobs", job) is not None], leases

    def sync_nodes(
        self, facts: Sequence[NodeFacts], *, keep: Collection[str] | None = None, why: str = "sync"
    ) -> list[NodeChange]:
        """Make the state say what ``facts`` say, which were read just now, so that it is a contact as well.

        With ``keep``, nodes in neither are forgotten, unless they hold a lease.
        """
        with self._change(why) as draft:
            changes = nodes.sync(draft, facts, keep=keep, now=self._now())
        self._seen({fact.name: self._now() for fact in facts})
        return changes

    def remove_nodes(self, names: Iterable[str], *, why: str = "remove nodes") -> list[NodeChange]:
        """Forget nodes; :class:`InUse` if one holds a lease."""
        with self._change(why) as draft:
            return nodes.remove(draft, names, leased="refuse")

    def drain(self, names: Iterable[str], *, reason: str, wait: bool = False) -> list[NodeChange]:
        """Take nodes out of placement; what runs there may end. ``wait``: displayed as draining until then."""
        state = Admin(state="draining" if wait else "drained", by=self.actor, at=self._now(), reason=reason)
        with self._change(f"drain: {reason}") as draft:
            return nodes.administer(draft, names, state)

    def resume(self, names: Iterable[str], *, why: str = "resume nodes") -> list[NodeChange]:
        """Offer drained nodes again."""
        with self._change(why) as draft:
            return nodes.administer(draft, names, Admin(state="enabled", by=self.actor, at=self._now()))

    def judge_nodes(
        self, verdicts: Mapping[str, Health], *, drain: bool = True, why: str = "health"
    ) -> tuple[list[NodeChange], Drains]:
        """Enter what was found of nodes' health, all of them at once; and drain those that cannot be used, and resume
        those that were drained so and are well (see :mod:`.drains`), unless told otherwise."""
        with self._change(why) as draft:
            changes, entered = nodes.judge(draft, verdicts, now=self._now())
            if not drain:
                return changes, Drains()
            return changes, drains.follow(draft, changes, entered, who=self.actor, now=self._clock())

    def contacted(
        self, reached: Collection[str] | Mapping[str, str], unreachable: Mapping[str, str] | None = None
    ) -> None:
        """Note who was reached (just now, or name -> when, as ISO 8601), and who could not be (name -> why)."""
        unreachable = unreachable or {}
        seen = dict(reached) if isinstance(reached, Mapping) else dict.fromkeys(reached, self._now())
        known = self.nodes()
        news = [name for name in seen if name in known and not known[name].reachability.ok]
        losses = {name: why for name, why in unreachable.items() if name in known}
        if news or any(known[name].reachability.ok is not False for name in losses):
            with self._change("contact") as draft:
                nodes.mark(draft, news, losses, now=self._now())
        self._seen({name: at for name, at in seen.items() if name in known})

    def submit(self, spec: JobSpec) -> Job:
        """A new job, QUEUED."""
        with self._change(f"submit {spec.name}") as draft:
            return jobs.submit(draft, spec, who=self.actor, now=self._clock())

    def allocate(self, job: str | JobSpec, *, within: Collection[str] | None = None) -> tuple[Job, RankPlan]:
        """Lease nodes for a QUEUED job, or submit and lease at once: a spec that does not fit leaves nothing behind."""
        with self._change(f"allocate {job if isinstance(job, str) else job.name}") as draft:
            now = self._clock()
            found = find(draft, job) if isinstance(job, str) else jobs.submit(draft, job, who=self.actor, now=now)
            return jobs.allocate(draft, found, within=within, now=now)

    def lapse(self) -> list[Job]:
        """Take back allocations that nobody has started in time; their jobs, which are QUEUED again."""
        with self._change("take back allocations that were not started") as draft:
            return jobs.lapse(draft, self._clock())

    def forget_leases(self, ids: Collection[str]) -> None:
        """Give back leases of jobs that the state does not have, of which the nodes have nothing any more."""
        with self._change("give back leases of jobs that are not there") as draft:
            draft.remove("leases", ids)

    def starting(self, job: str, epoch: int) -> Job:
        """ALLOCATED -> STARTING."""
        with self._change(f"start {job}") as draft:
            return jobs.starting(draft, find(draft, job), epoch)

    def running(self, job: str, epoch: int) -> Job:
        """STARTING -> RUNNING."""
        with self._change(f"running {job}") as draft:
            return jobs.running(draft, find(draft, job), epoch, now=self._clock())

    def finish(
        self,
        job: str,
        epoch: int,
        outcome: Outcome,
        *,
        cleared: Collection[str] = (),
        doubtful: Mapping[str, str] | None = None,
    ) -> Job:
        """The attempt has ended; its leases go where the node says that nothing is left (see :meth:`release`)."""
        why = f"{outcome.state.lower()} {job}" + (f": {outcome.reason}" if outcome.reason else "")
        with self._change(why) as draft:
            ended = jobs.finish(draft, find(draft, job), epoch, outcome, now=self._clock())
            self._give_back(draft, ended, cleared, doubtful or {})
            return ended

    def cancel(self, job: str, *, reason: str, epoch: int | None = None) -> Job:
        """Cancel a job of which nothing was started: QUEUED, or ALLOCATED at ``epoch``, whose leases are given back.

        A job in any other state is returned as it is: what runs is ended on its nodes first (:meth:`release`).
        """
        with self._change(f"cancel {job}: {reason}") as draft:
            found = find(draft, job)
            current = found.attempt.epoch if found.attempt else 0
            waits = found.state == "QUEUED"  # what earlier attempts still hold is for their nodes to give back
            if waits or (found.state == "ALLOCATED" and epoch == current):
                found = jobs.finish(draft, found, current, Outcome("CANCELED", reason), now=self._clock())
                held = [] if waits else [lease.node for lease in nodes.load_leases(draft, found.id)]
                self._give_back(draft, found, held, {})
            return found

    def withdraw(self, job: str, epoch: int, *, reason: str = "its nodes refused it") -> None:
        """Take back a launch that the nodes refused before anything was started: all of it, or, if the job ran before,
        this attempt of it."""
        with self._change(f"withdraw {job}: {reason}") as draft:
            jobs.withdraw(draft, find(draft, job), epoch, reason=reason, now=self._clock())

    def give_up(self, job: str, why: str) -> Job:
        """A job that waits for its restart cannot have it (``why``): QUEUED -> FAILED or LOST, as its last attempt."""
        with self._change(f"give up {job}: {why}") as draft:
            return jobs.give_up(draft, find(draft, job), why, now=self._clock())

    def awaiting_restart(self) -> list[Job]:
        """The jobs that wait for their restart, oldest first."""
        tables = self.store.read()
        rows = sorted((row for row in tables.all("jobs") if row["state"] == "QUEUED" and row["attempts"]), key=age)
        return [job for job in (find(tables, row["id"]) for row in rows) if job.awaits_restart]

    def give_back(
        self,
        job: str,
        attempt: int,
        *,
        cleared: Collection[str],
        doubtful: Mapping[str, str] | None = None,
        said: Mapping[str, str] | None = None,
    ) -> Job:
        """Give back what an attempt holds that is over already (as :meth:`release`); the job's state stays.

        ``said``: what its nodes say of it too late for it to count (node -> in words).
        """
        told = "; ".join(f"{node} {words}" for node, words in (said or {}).items())
        with self._change(f"give back leases of attempt {attempt} of {job}{told and f': {told}'}") as draft:
            found = find(draft, job)
            if attempt == len(found.attempts) and found.state in ("ALLOCATED", "STARTING", "RUNNING"):
                raise InvalidTransition(f"attempt {attempt} of job {job} is {found.state}, and not over")
            if said:
                found = jobs.refuse(draft, found, attempt, said)
            self._give_back(draft, found, cleared, doubtful or {}, attempt)
            return found

    def unwanted(self, job: str, reason: str) -> tuple[Job, list[Lease]]:
        """Somebody wants the job to end: no attempt of it is begun from now on. Returns it, and all its leases."""
        with self._change(f"end {job}: {reason}") as draft:
            found = jobs.unwanted(draft, find(draft, job), reason)
            return found, nodes.load_leases(draft, found.id)

    def holding(self, job: str) -> tuple[Job, list[Lease]]:
        """The job, and all leases that it holds, at one moment."""
        tables = self.store.read()
        found = find(tables, job)
        return found, nodes.load_leases(tables, found.id)

    def attended(self, job: str) -> bool:
        """Whether a launch that follows the job has said so a moment ago (see :meth:`attend`)."""
        at = self.store.contacts(_launch_of(job)).get(_launch_of(job))
        return at is not None and abs(self._clock() - parse(at)) < ATTENDED_FOR  # clocks are put back, too

    def attend(self, job: str) -> None:
        """A launch follows the job, and starts it again if need be; to be said again before :data:`ATTENDED_FOR`."""
        self._seen({_launch_of(job): self._now()})

    def leave(self, job: str) -> None:
        """It does not any more."""
        if not self.dry_run:
            self.store.forget_contact(_launch_of(job))

    def release(
        self,
        job: str,
        *,
        cleared: Collection[str],
        doubtful: Mapping[str, str] | None = None,
        reason: str = "released",
    ) -> tuple[Job, list[Lease]]:
        """Give back the last attempt's leases on ``cleared`` nodes, and cancel the job if it had not ended. Returns it
        and those leases."""
        with self._change(f"release {job}: {reason}") as draft:
            found = find(draft, job)
            if jobs.is_active(found):
                epoch = found.attempt.epoch if found.attempt else 0
                found = jobs.finish(draft, found, epoch, Outcome("CANCELED", reason), now=self._clock())
            return found, self._give_back(draft, found, cleared, doubtful or {})

    def import_state(
        self, kind: str, source: Path | str, *, timezone: str | None = None, force: bool = False
    ) -> imports.Report:
        """Take over the state of another tool, or an export (see :mod:`.imports`). ``source``: a path, or the text.

        ``timezone``: of times that name none, as ``Europe/Berlin``; this machine's own if it is None.
        """
        found = imports.read(kind, source, timezone=timezone, who=self.actor, now=self._clock())
        with self._change(f"import {kind} from {found.name}") as draft:
            report = imports.apply(draft, found, force=force)
        self._seen(report.seen)
        return report

    def archive(self, older_than: timedelta) -> list[str]:
        """Take jobs that ended longer ago than this out of the state; their ids. History keeps them."""
        with self._change("archive old jobs") as draft:
            return retention.archive(draft, before(self._clock(), older_than))

    def history(self, *, node: str | None = None, job: str | None = None, since: str | None = None) -> Iterator[Record]:
        """The transactions on record, oldest first: those that touched this node, or this job (its id or name), or all.

        ``since``: ISO 8601, or how long ago (``1h``).
        """
        begin = iso(moment(since, self._clock())) if since else ""
        if node is None and job is None:
            return self.store.history(begin)
        records = list(self.store.history(""))
        ids = None if job is None else ids_of(job, records)
        if job is not None and not ids:
            raise unknown_job(job, self.store.read().all("jobs"))
        if node is not None and not has_node(node, records):
            raise nodes.unknown_node(node, self.nodes())
        return touching((record for record in records if record["at"] >= begin), node=node, jobs=ids)

    def _give_back(
        self,
        draft: Draft,
        job: Job,
        cleared: Collection[str],
        doubtful: Mapping[str, str],
        attempt: int | None = None,
    ) -> list[Lease]:
        number, now = attempt or len(job.attempts), self._clock()
        return jobs.release(draft, job, number, cleared=cleared, doubtful=doubtful, who=self.actor, now=now)

    def _seen(self, seen: Mapping[str, str]) -> None:
        if seen and not self.dry_run:
            self.store.contacted(seen)

    def _change(self, why: str) -> AbstractContextManager[Draft]:
        if self.dry_run:
            return self.store.rehearsal()
        return self.store.transaction(who=self.actor, why=why, origin=self.origin)

    def _now(self) -> str:
        return iso(self._clock())


def _launch_of(job: str) -> str:
    """As what the launch that follows a job is seen. No node has such a name."""
    return f"launch of job {job}"


def open_cluster(
    location: str | None,
    *,
    actor: str,
    origin: str = "",
    dry_run: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Cluster:
    """The cluster whose state is at ``location`` (see :func:`..store.open_store`)."""
    return Cluster(open_store(location, tell=tell), actor=actor, origin=origin, dry_run=dry_run)


def node_documents(changes: Iterable[NodeChange], side: str) -> dict[str, Any]:
    """``before`` or ``after`` of what changed, by node: the two sides of a diff."""
    return {c.name: getattr(c, side) for c in changes if c.action in ("created", "updated", "removed")}
