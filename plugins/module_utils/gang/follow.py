# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a gang to its end: the first bad end of a part ends all of it.

Nothing is concluded from the silence of a node: it may be out of our reach only. Its gang notices by itself when it is
gone, and the others say so.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..agent.stop import ABORT_GRACE_S
from ..cluster import Cluster, Outcome
from ..model import ENDED as OVER
from ..model import Attempt, InvalidInput, InvalidTransition, Job, MusterError, StaleEpoch, natural
from ..remote import Dial
from .ask import ask, not_asked
from .report import ENDED, Report, doubts, outcome
from .stop import stop_gang

POLL_S = 10
"""How long a node is asked to hold its answer while nothing ends: one command a node in this time."""
SILENCE_S = 60.0
"""After so long without a word from any node that is still to end, there is nobody left to follow."""
RETRY_S = 1.0


class OutOfTouch(MusterError):
    """No node that is still to end can be reached. The job may go on there, and its state is left as it is."""


@dataclass(frozen=True)
class Ended:
    """How the gang ended. ``doubtful``: nodes that keep their lease and are drained (name -> why)."""

    job: Job
    outcome: Outcome
    doubtful: dict[str, str]


def follow_gang(
    cluster: Cluster,
    dial: Dial,
    job: Job,
    *,
    say: Callable[[Job, dict[str, Report]], None] = lambda job, reports: None,
    every_s: float = 10.0,
) -> Ended:
    """Wait until every node has ended its part of ``job``, and settle the account: its state, and its leases.

    ``say`` is given ``job``, and what is known of each of its nodes, every ``every_s`` seconds. Raises
    :class:`InvalidInput` unless ``job`` is RUNNING, and :class:`OutOfTouch`.
    """
    attempt = job.attempt
    if attempt is None or job.state != "RUNNING":
        raise InvalidInput(f"job {job.id} is {job.state}: only a job that runs can be followed", "start it first")
    names = [str(part["node"]) for part in attempt.plan["nodes"]]
    news: queue.SimpleQueue[Report] = queue.SimpleQueue()
    reports: dict[str, Report] = {}
    ended: dict[str, Report] = {}
    aborted = ""
    over = threading.Event()
    for name in names:
        watch = (dial, name, job.id, attempt.number, news, over)
        threading.Thread(target=_watch, args=watch, daemon=True).start()
    heard = time.monotonic()
    next_line = heard + every_s
    while len(ended) < len(names):
        if time.monotonic() - heard > SILENCE_S:
            over.set()
            errors = {name: reports[name].error if name in reports else f"{name} has said nothing" for name in names}
            raise _out_of_touch(cluster, job, {name: errors[name] for name in names if name not in ended})
        try:
            one = news.get(timeout=max(0.0, min(next_line - time.monotonic(), RETRY_S)))
        except queue.Empty:
            if time.monotonic() >= next_line:
                say(job, reports)
                next_line = time.monotonic() + every_s
            continue
        reports[one.node] = one
        if one.state == "silent":
            continue
        heard = time.monotonic()
        if one.state not in ENDED:
            continue
        ended[one.node] = one
        if one.state != "succeeded":
            over.set()
            aborted = f"{one.node}: {one.error or (one.status or {}).get('reason') or one.state}"
            rest = [name for name in names if name not in ended]
            ended |= stop_gang(
                dial, rest, job.id, attempt.number, attempt.epoch, aborted, min(job.spec.grace_s, ABORT_GRACE_S)
            )
            break
    end = outcome(list(ended.values()), aborted)
    doubtful = doubts(ended.values())
    cleared = [name for name in names if name not in doubtful]
    silent = {name: one.error for name, one in ended.items() if one.state == "silent"}
    settled = _settled(cluster, job.id, attempt, end, cleared, doubtful)
    cluster.contacted([name for name in names if name not in silent], silent)
    # Somebody else may have wanted it to end, or told how it has: what the state has counts.
    return Ended(settled, Outcome.of(settled) if settled.state in OVER else end, doubtful)


def _out_of_touch(cluster: Cluster, job: Job, silent: dict[str, str]) -> OutOfTouch:
    cluster.contacted([], silent)
    said = "; ".join(silent[name] for name in sorted(silent, key=natural))
    return OutOfTouch(
        f"no word for {SILENCE_S:g} s from where job {job.name} ({job.id}) still runs: {said}",
        "its nodes look after it, and recover.yml says what has become of it",
    )


def _settled(
    cluster: Cluster, job: str, attempt: Attempt, end: Outcome, cleared: list[str], doubtful: dict[str, str]
) -> Job:
    try:
        return cluster.finish(job, attempt.epoch, end, cleared=cleared, doubtful=doubtful)
    except (InvalidTransition, StaleEpoch):
        # Somebody else, a release for one, settled it from the same records before us.
        return cluster.give_back(job, attempt.number, cleared=cleared, doubtful=doubtful)


def _watch(
    dial: Dial, name: str, job: str, attempt: int, news: queue.SimpleQueue[Report], over: threading.Event
) -> None:
    """Report on one node until its part has ended, again and again, whatever happens."""
    words = ["status", "--job", job, "--attempt", str(attempt), "--wait-end", str(POLL_S)]
    while not over.is_set():
        try:
            client = dial(name)
            try:
                while not over.is_set():
                    one = ask(client, words, timeout_s=POLL_S + 10.0)
                    news.put(one)
                    if one.state in ENDED:
                        return
                    if one.state == "silent":
                        break
            finally:
                client.close()
        except Exception as error:
            news.put(not_asked(name, error))
        over.wait(RETRY_S)
