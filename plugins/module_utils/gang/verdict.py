# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done about a job that nobody follows, given what its nodes say: decisions only, nothing is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from ..cluster import Outcome
from ..model import ENDED as ENDED_JOBS
from ..model import Job, natural
from .report import Report, outcome

GOING_WELL = ("starting", "running", "succeeded")
UNDECIDED_FOR = timedelta(seconds=150)
"""How long a start may take: younger jobs that do not run yet are left to whoever launches them."""


@dataclass(frozen=True)
class Verdict:
    """``found``: what is the case, in words. What is to be done about it: nothing, unless the rest says so.

    ``runs``: the state is to say that the job runs. ``end``: it has ended so. ``over``: whatever is left of it is to be
    stopped, and its leases to be given back.
    """

    found: str
    runs: bool = False
    end: Outcome | None = None
    over: bool = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.runs or self.end or self.over)


def judge(
    job: Job,
    reports: Mapping[str, Report],
    *,
    age: timedelta,
    silent_for: Mapping[str, timedelta] | None = None,
    lost_after: timedelta | None = None,
) -> Verdict:
    """Decide on a job that holds leases. ``reports``: the last word of each node that it holds a lease on.

    Nothing is concluded from a node's silence, unless it lasts longer than ``lost_after``; ``silent_for`` says how long
    it has lasted, by node. ``age``: how long ago the start began.
    """
    heard = {name: one for name, one in reports.items() if one.state != "silent"}
    silent = {name: one for name, one in reports.items() if one.state == "silent"}
    given_up = {
        name: one for name, one in silent.items() if lost_after is not None and (silent_for or {})[name] > lost_after
    }
    waiting = silent.keys() - given_up.keys()
    if job.state in ENDED_JOBS:
        return _after_the_end(job, heard, waiting)
    started = any((one.status or {}).get("started_at") for one in heard.values())
    # A node that knows nothing of it may have answered before its part of the start came: the others did later.
    early = any((one.status or {}).get("unknown") for one in heard.values())
    if job.state == "STARTING" and (not started or early) and age < UNDECIDED_FOR:
        return Verdict("is being started")
    # Its launch died after the gate had opened: it runs, or ran, and its end is to be told as it is.
    runs = job.state == "STARTING" and started
    if any(one.state not in GOING_WELL for one in heard.values()) or given_up:
        end = outcome([*heard.values(), *given_up.values()])
        if job.state == "STARTING" and not started:
            end = Outcome("FAILED", "its launch was interrupted")
        return Verdict(end.reason, runs, end, True)
    if not waiting and all(one.state == "succeeded" for one in heard.values()):
        return Verdict("has succeeded", runs, Outcome("SUCCEEDED"), True)
    told = "runs" if job.state == "RUNNING" or runs else "waits at the gate"
    return Verdict(f"{told}{_silence(waiting, silent_for)}", runs)


def _after_the_end(job: Job, heard: Mapping[str, Report], waiting: Iterable[str]) -> Verdict:
    attempt = job.attempt
    whole = attempt is not None and heard.keys() == {part["node"] for part in attempt.plan["nodes"]}
    if job.state == "LOST" and whole:
        states = {one.state for one in heard.values()}
        if states == {"succeeded"}:
            return Verdict("was taken for lost, and has succeeded", end=Outcome("SUCCEEDED"), over=True)
        if states <= {"running", "succeeded"}:
            return Verdict("was taken for lost, and runs", runs=True)
    if heard:
        left = sum((one.status or {}).get("left") or 0 for one in heard.values())
        return Verdict(f"is {job.state}" + (f", and {left} of its processes are left" if left else ""), over=True)
    return Verdict(f"is {job.state}{_silence(waiting, None)}")


def _silence(waiting: Iterable[str], silent_for: Mapping[str, timedelta] | None) -> str:
    """Who has not said anything, and for how long."""
    told = [f"{name}{_lasting((silent_for or {}).get(name))}" for name in sorted(waiting, key=natural)]
    return f", no word from {', '.join(told)}" if told else ""


def _lasting(silence: timedelta | None) -> str:
    return "" if silence is None else f" for {int(silence.total_seconds())} s"
