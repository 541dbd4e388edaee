# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a job again that ended badly and may be restarted: on a new epoch, and on other nodes if nodes were the
cause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ..cluster import Cluster, Outcome
from ..model import ENDED, InvalidInput, InvalidTransition, Job, MusterError, NoCapacity, counted
from ..remote import Dial
from .follow import Ended, follow_gang
from .report import Report
from .settle import settle_gang
from .start import NotStarted, Started, start_gang, with_secrets

ATTEND_S = 15.0
"""How often a launch says that it follows its job."""
LOOK_AGAIN_S = 2.0
"""How often it is looked whether somebody else's restart has come about."""


@dataclass(frozen=True)
class Means:
    """What a launch was given besides the job, and its restarts need again: see :func:`.start_gang`."""

    env: Mapping[str, str] | None = None
    within: Collection[str] | None = None
    preflight: bool = True
    say: Callable[[str], None] = lambda line: None
    prepare: Callable[[Job], None] = lambda job: None
    """Called before the nodes of an attempt are spoken to for the first time."""


def restart_gang(
    cluster: Cluster, dial: Dial, job: Job, means: Means, allocate: Callable[[str], Job] | None = None
) -> Started | Job:
    """Give a job that awaits its restart nodes, and start it; or give it up, and return it with its end.

    ``allocate``: leases nodes for the job with this id, and may wait for them; what is free now, if it is None. Raises
    :class:`NoCapacity`, :class:`InvalidInput` if there is no node at all, and :class:`InvalidTransition` if somebody
    else was faster; then the job still waits.
    """
    try:
        with_secrets(job.spec, means.env)
    except InvalidInput as error:
        return _given_up(cluster, job, error)
    given = allocate(job.id) if allocate else cluster.allocate(job.id, within=means.within)[0]
    means.prepare(given)
    try:
        return start_gang(
            cluster,
            dial,
            given,
            env=means.env,
            within=means.within,
            preflight=means.preflight,
            say=means.say,
        )
    except NotStarted as error:
        return _given_up(cluster, job, error)


def follow_with_restarts(
    cluster: Cluster,
    dial: Dial,
    job: Job,
    means: Means,
    *,
    allocate: Callable[[str], Job],
    say: Callable[[Job, dict[str, Report]], None] = lambda job, reports: None,
    every_s: float = 10.0,
) -> Ended:
    """As :func:`.follow_gang`, through all attempts that the job may have.

    A restart for which ``allocate`` finds no nodes is given up. What somebody else, a ``recover.yml`` for one, has
    started is followed as well. Raises what :func:`.follow_gang` does.
    """
    if job.spec.max_restarts == 0:
        means.prepare(job)
        return follow_gang(cluster, dial, job, say=say, every_s=every_s)
    with _attending(cluster, job.id):
        return _follow_on(cluster, dial, job, means, allocate, say, every_s)


def _follow_on(
    cluster: Cluster,
    dial: Dial,
    job: Job,
    means: Means,
    allocate: Callable[[str], Job],
    say: Callable[[Job, dict[str, Report]], None],
    every_s: float,
) -> Ended:
    doubtful: dict[str, str] = {}
    told = ""
    while job.state not in ENDED:
        if job.state == "RUNNING" or not job.ran:
            means.prepare(job)
            number = len(job.attempts)
            ended = follow_gang(cluster, dial, job, say=say, every_s=every_s)
            doubtful |= ended.doubtful
            job = ended.job
            if job.state in ENDED and len(job.attempts) == number:
                return Ended(job, ended.outcome, doubtful)
        elif job.awaits_restart:
            nth = f"restart {job.restarts + 1} of {job.spec.max_restarts}"
            means.say(f"{job.name} ({job.id}) {job.reason}; {nth}")
            job = _restarted(cluster, dial, job, means, allocate)
        else:
            line = f"attempt {len(job.attempts)} of {job.name} ({job.id}) is begun by somebody else"
            if line != told:
                means.say(line)
                told = line
            time.sleep(LOOK_AGAIN_S)
            cluster.lapse()
            job = settle_gang(cluster, dial, job)
    return Ended(job, Outcome.of(job), doubtful)


@contextmanager
def _attending(cluster: Cluster, job: str) -> Iterator[None]:
    """Let others know that the job is followed, and started again if need be."""
    over = threading.Event()

    def attend() -> None:
        while not over.wait(ATTEND_S):
            with suppress(MusterError):  # whoever does not see it may start the job again first
                cluster.attend(job)

    cluster.attend(job)
    threading.Thread(target=attend, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        cluster.leave(job)


def _restarted(cluster: Cluster, dial: Dial, job: Job, means: Means, allocate: Callable[[str], Job]) -> Job:
    try:
        after = restart_gang(cluster, dial, job, means, allocate)
    except (NoCapacity, InvalidInput) as error:
        return _given_up(cluster, job, error)
    except InvalidTransition:
        return cluster.job(job.id)
    if isinstance(after, Job):
        return after
    nodes = ", ".join(part.node for part in after.plan.nodes)
    means.say(f"{job.name} ({job.id}) runs again: {counted(after.plan.world_size, 'rank')} on {nodes}")
    return after.job


def _given_up(cluster: Cluster, job: Job, error: MusterError) -> Job:
    try:
        return cluster.give_up(job.id, str(error))
    except InvalidTransition:  # it was canceled, or has failed in a way that leaves nodes in doubt
        return cluster.job(job.id)
