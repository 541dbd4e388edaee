# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ranks of a job wrote, fetched from its nodes or followed as it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..model import InvalidInput, MusterError
from ..remote import AgentClient, AgentReply, Dial, Outcome, fan_out

ANSWER_S = 60.0
"""How long a node may take to hand over logs that are not followed."""

Document = dict[str, Any]
Troubles = dict[str, str]
"""Why there is nothing from a node, in one sentence, by the node's name."""


@dataclass(frozen=True)
class Source:
    """A node's part in an attempt: the ranks whose logs are wanted. ``some``: only some of those that it has."""

    node: str
    job: str
    attempt: int
    ranks: tuple[int, ...]
    some: bool

    @property
    def named(self) -> list[str]:
        """The attempt, as the agent's options."""
        return ["--job", self.job, "--attempt", str(self.attempt)]

    @property
    def words(self) -> list[str]:
        """What is wanted of it, as the agent's verb ``logs`` and its options."""
        return ["logs", *self.named, *(["--rank", str(self.ranks[0])] if self.some else [])]


def sources(job: Document, rank: int | None, number: int | None = None) -> list[Source]:
    """Where the logs of an attempt (by default the last) of ``job`` are, or that of one global rank."""
    attempts = {attempt["number"]: attempt for attempt in job["attempts"]}
    if not attempts:
        raise InvalidInput(f"job {job['id']} is {job['state']} and has written nothing yet")
    if number is not None and number not in attempts:
        raise InvalidInput(f"job {job['id']} has no attempt {number}: its last is {len(attempts)}")
    number = number or max((one for one, attempt in attempts.items() if attempt["started_at"]), default=len(attempts))
    plan = attempts[number]["plan"]
    if rank is not None and not 0 <= rank < plan["world_size"]:
        raise InvalidInput(f"job {job['id']} has no rank {rank}: its ranks are 0 to {plan['world_size'] - 1}")
    found = []
    for part in plan["nodes"]:
        # All ranks under one torchrun write one log, which goes by the first of them.
        logs = part["ranks"][:1] if job["spec"]["launcher"] == "torchrun" else part["ranks"]
        if rank is None:
            found.append(Source(part["node"], job["id"], number, tuple(logs), some=False))
        elif rank in part["ranks"]:
            one = rank if rank in logs else logs[0]
            found.append(Source(part["node"], job["id"], number, (one,), some=len(logs) > 1))
    return found


def fetch(dial: Dial, wanted: Sequence[Source], lines: str) -> tuple[list[Document], Troubles]:
    """The last ``lines`` (a number, or ``all``) of each log by rank: its rank, node, log (the path there), lines."""

    def ask(source: Source, client: AgentClient) -> AgentReply:
        return client.call([*source.words, "--lines", lines], timeout_s=ANSWER_S)

    replies, troubles = _on_each(dial, wanted, ask)
    logs = [{"node": name, **log} for name, reply in replies.items() for log in reply.payload["logs"]]
    return sorted(logs, key=lambda log: int(log["rank"])), troubles


def follow(
    dial: Dial, wanted: Sequence[Source], lines: str, prefixed: bool, write: Callable[[bytes], None]
) -> Troubles:
    """Write the last ``lines`` of each log and then whole lines as they come, until the attempt ends on every node.

    What ``write`` raises ends it (the reader has left). It is called by one thread at a time.
    """
    lock = threading.Lock()

    def write_alone(data: bytes) -> None:
        with lock:
            write(data)

    def ask(source: Source, client: AgentClient) -> AgentReply:
        # Asked first, so that the agent is there and knows the job: a refusal of the stream would look like a log.
        known = client.call(["status", *source.named], timeout_s=ANSWER_S)
        if not known.ok:
            return known
        several = len(source.ranks) > 1  # then the agent itself says whose line it is
        out = _Lines(f"[rank {source.ranks[0]}] " if prefixed and not several else "", write_alone)
        reply = client.stream([*source.words, "--lines", lines, "--follow", "--raw"], out.take)
        out.close()
        return reply

    _replies, troubles = _on_each(dial, wanted, ask)
    return troubles


class _Lines:
    """Makes whole lines of the pieces that come, each with its prefix."""

    def __init__(self, prefix: str, write: Callable[[bytes], None]) -> None:
        self._prefix = prefix.encode()
        self._write = write
        self._rest = b""

    def take(self, piece: bytes) -> None:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if whole:
            self._write(b"".join(self._prefix + line + b"\n" for line in whole))

    def close(self) -> None:
        if self._rest:
            self.take(b"\n")


def _on_each(
    dial: Dial, wanted: Sequence[Source], ask: Callable[[Source, AgentClient], AgentReply]
) -> tuple[dict[str, AgentReply], Troubles]:
    """Ask all nodes at once; the good answers, and why there is none from the others."""
    troubles: Troubles = {}
    calls: dict[str, Callable[[], AgentReply]] = {}
    for source in wanted:
        try:
            calls[source.node] = partial(_asked, source, dial(source.node), ask)
        except MusterError as error:
            troubles[source.node] = str(error)

    def heard(outcome: Outcome[AgentReply]) -> None:
        error = outcome.get().error
        if error is not None:
            troubles[outcome.name] = str(error) if outcome.name in str(error) else f"{outcome.name}: {error}"

    outcomes = fan_out(calls, heard, at_once=max(len(calls), 1))
    return {name: outcome.get() for name, outcome in outcomes.items() if name not in troubles}, troubles


def _asked(source: Source, client: AgentClient, ask: Callable[[Source, AgentClient], AgentReply]) -> AgentReply:
    try:
        return ask(source, client)
    finally:
        client.close()
