# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a gang: one command a node, all or none, and around nodes that do not answer."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ..agent.errors import HINTS
from ..cluster import Cluster, Outcome
from ..model import SECRET, InvalidInput, InvalidTransition, Job, JobSpec, MusterError, NoCapacity, validated
from ..remote import Dial, fan_out
from ..remote.fan_out import Outcome as Call
from ..scheduling import RankPlan, start_requests
from ..scheduling.plan import GATE_TIMEOUT_S
from .ask import ask, not_asked
from .report import Report, doubts, refusal, refusal_codes
from .stop import release_gang, stop_gang

START_TIMEOUT_S = GATE_TIMEOUT_S + 30.0
RECALL_PAUSE_S = 0.5
PORTS_TRIED = 5
"""How often a launch is tried on another port, when rank 0's node says that somebody else's program has taken it."""
STARTED = ("running", "succeeded", "failed")
"""States of an attempt that got through the gate; how it then fared is for the follower to tell."""
UNREACHED = ("unreachable", "host_key", "auth", "setup", "python_missing", "install_failed", "agent_missing")
"""Failures of a call after which the agent has certainly not been asked to start anything."""


class NotStarted(MusterError):
    """The nodes refused the launch before any process was started; the job was taken back."""


@dataclass(frozen=True)
class Started:
    """A gang that runs. ``left_out``: nodes that did not answer and were replaced (name -> why)."""

    job: Job
    plan: RankPlan
    left_out: dict[str, str] = field(default_factory=dict)
    commands: dict[str, int] = field(default_factory=dict)
    """Remote commands that each node was sent."""


def start_gang(
    cluster: Cluster,
    dial: Dial,
    job: Job,
    *,
    env: Mapping[str, str] | None = None,
    within: Collection[str] | None = None,
    preflight: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Started:
    """Start the ranks of an ALLOCATED ``job`` on its nodes, and return when all of them run.

    A node that does not answer is marked unreachable and the job is placed anew without it, as long as enough nodes
    remain; a port that another program has taken is replaced by another. Raises :class:`NotStarted` if nodes refuse
    (nothing was started, no lease stays), and what :meth:`Cluster.allocate` raises if too few remain.

    :param env: the job's own variables as the user gave them, since the state does not keep secrets.
    :param within: the nodes that may replace one that does not answer.
    :param preflight: see :func:`.start_requests`.
    """
    spec = with_secrets(job.spec, env)
    left_out: dict[str, str] = {}
    ports_left = PORTS_TRIED
    while True:
        plan, attempt = _planned(job)
        reports, commands = _ask_all(cluster, dial, job, spec, plan, preflight)
        if all(one.state in STARTED for one in reports.values()):
            try:
                cluster.running(job.id, attempt)
            except InvalidTransition:
                # It is over: settled by what its nodes say, or canceled by one whose word came to a node before ours.
                stop_gang(
                    dial, list(reports), job.id, len(job.attempts), attempt, "it ended while it was being started"
                )
            cluster.contacted(list(reports))
            if (now := cluster.job(job.id)).state == "CANCELED":
                raise NotStarted(f"job {job.name} ({job.id}) was canceled while it was being started: {now.reason}")
            return Started(cluster.job(job.id), plan, left_out, commands)
        absent = {name: one.error for name, one in reports.items() if one.code in UNREACHED}
        _take_back(cluster, dial, job, attempt, reports)
        cluster.contacted([name for name in reports if name not in absent], absent)
        port_taken = all(code == "port_taken" for code in refusal_codes(reports.values()))
        again = left_out.keys() & absent.keys()  # it was reached in between, from elsewhere, and is gone once more
        if again or (not absent and not (port_taken and (ports_left := ports_left - 1))):
            raise NotStarted(f"job {job.name} was not started: {refusal(reports.values())}", _hint(reports.values()))
        left_out |= absent
        for name, why in absent.items():
            say(f"{name} is left out: {why}")
        # Who was left out is among them, marked unreachable: what cannot be placed now is told with that reason.
        rest = [name for name in cluster.nodes() if within is None or name in within]
        try:
            job, _plan = cluster.allocate(job.id if job.ran else spec, within=rest)
        except NoCapacity as error:
            hint = f"{error.hint}; left out: {'; '.join(left_out.values())}"
            raise NoCapacity(error.message, hint, permanent=error.permanent) from error


def _ask_all(
    cluster: Cluster, dial: Dial, job: Job, spec: JobSpec, plan: RankPlan, preflight: bool
) -> tuple[dict[str, Report], dict[str, int]]:
    _plan, epoch = _planned(job)
    number = len(job.attempts)
    requests = start_requests(
        plan,
        spec,
        cluster.nodes(),
        job=job.id,
        attempt=number,
        epoch=epoch,
        lineage=cluster.lineage(),
        token=secrets.token_hex(16),
        preflight=preflight,
    )
    cluster.starting(job.id, epoch)
    clients = {name: dial(name) for name in requests}
    reports: dict[str, Report] = {}
    recall: list[threading.Thread] = []

    def call_off(absent: str) -> None:
        """Tell those that wait at the gate to go home; one that has not got there yet is told again."""
        while waiting := [name for name in requests if name not in reports]:
            time.sleep(RECALL_PAUSE_S)  # most often the gate has told them by then
            stop_gang(dial, [n for n in waiting if n not in reports], job.id, number, epoch, f"{absent} refused")

    def heard(call: Call[Report]) -> None:
        reports[call.name] = one = call.value or not_asked(call.name, call.error)
        if one.code and not recall:
            recall.append(threading.Thread(target=call_off, args=(call.name,)))
            recall[0].start()

    def start(name: str) -> Report:
        return ask(clients[name], ["start"], json.dumps(requests[name]).encode(), timeout_s=START_TIMEOUT_S)

    try:
        fan_out({name: partial(start, name) for name in requests}, heard)
    except BaseException:
        # An interruption: nobody would look after what may run by now.
        why = "the launch was interrupted"
        if job.ran:
            _undo(cluster, dial, job, epoch, list(requests), why)
        else:
            release_gang(cluster, dial, job, why)
        raise
    for thread in recall:
        thread.join()
    for client in clients.values():
        client.close()
    return {name: reports[name] for name in requests}, {name: client.commands for name, client in clients.items()}


def _hint(reports: Iterable[Report]) -> str:
    """What to do about the problems for which nodes refused."""
    return "; ".join(dict.fromkeys(HINTS[code] for code in sorted(refusal_codes(reports)) if code in HINTS))


def _take_back(cluster: Cluster, dial: Dial, job: Job, epoch: int, reports: Mapping[str, Report]) -> None:
    """Undo a start that did not come about. Where it is not certain that nothing runs, stop it and say so."""
    asked = [name for name, one in reports.items() if one.state != "refused" and one.code not in UNREACHED]
    why = refusal(reports.values())
    if doubtful := _undo(cluster, dial, job, epoch, asked, why):
        raise NotStarted(
            f"job {job.name} ({job.id}) failed to start: {why}",
            f"{', '.join(doubtful)} could not say that nothing is left, and is drained",
        )


def _undo(cluster: Cluster, dial: Dial, job: Job, epoch: int, asked: Collection[str], why: str) -> dict[str, str]:
    """Stop what may run on the nodes that were ``asked`` to start it, and take the attempt back. Nodes that cannot say
    that nothing is left (name -> why) make it a failure instead, and are drained."""
    after = stop_gang(dial, asked, job.id, len(job.attempts), epoch, "the launch failed")
    doubtful = doubts(one for one in after.values() if one.status is not None or one.error)
    if doubtful:
        cleared = [part.node for part in _planned(job)[0].nodes if part.node not in doubtful]
        failed = Outcome("FAILED", f"the start failed: {why}")
        cluster.finish(job.id, epoch, failed, cleared=cleared, doubtful=doubtful)
    else:
        cluster.withdraw(job.id, epoch, reason=why)
    return doubtful


def _planned(job: Job) -> tuple[RankPlan, int]:
    if job.attempt is None:
        raise InvalidInput(f"job {job.id} is {job.state} and has no nodes yet", "allocate it first")
    return RankPlan.from_document(job.attempt.plan), job.attempt.epoch


def with_secrets(spec: JobSpec, env: Mapping[str, str] | None) -> JobSpec:
    """The spec that the state keeps, with its ``env`` as the user gave it. Raises :class:`InvalidInput` if that lacks a
    secret."""
    if env is not None:
        spec = validated(JobSpec, spec.model_dump() | {"env": dict(env)}, "muster_job")
    hidden = [key for key, value in spec.env.items() if value == SECRET]
    if hidden:
        raise InvalidInput(
            f"the state does not keep the value of {', '.join(hidden)}", "give the job's env again with this start"
        )
    return spec
