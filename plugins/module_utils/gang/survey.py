# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking nodes for everything that runs on them, in one call a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from ..remote import AgentReply, Dial, fan_out
from .ask import ASK_TIMEOUT_S, not_asked
from .report import Report, Status, no_record

Named = tuple[str, int]
"""A job's id, and the number of one of its attempts."""


@dataclass(frozen=True)
class Survey:
    """One node's word: the attempts that are alive there, and those that were asked for; or why it said nothing."""

    node: str
    attempts: dict[Named, Status] = field(default_factory=dict)
    error: str = ""
    code: str = ""
    skew: timedelta = field(default=timedelta(0))

    def report(self, job: str, attempt: int, epoch: int) -> Report:
        """The same word of one attempt. A node that does not know it has lost it, and has nothing of it."""
        if self.error:
            return Report(self.node, None, self.error, self.code)
        status = self.attempts.get((job, attempt))
        if status is None or status["epoch"] != epoch:
            status = no_record(self.node)
        return Report(self.node, status, skew=self.skew)

    def alive(self) -> Iterator[Status]:
        """The attempts of which something runs."""
        return (one for one in self.attempts.values() if not Report(self.node, one).clear)


def survey_all(dial: Dial, wanted: Mapping[str, Iterable[Named]]) -> dict[str, Survey]:
    """What each node says, all asked at once. ``wanted``: by node, attempts to tell of whatever became of them."""

    def ask_one(name: str) -> Survey:
        client = dial(name)
        also = ",".join(f"{job}.{attempt}" for job, attempt in wanted[name])
        try:
            return _survey(client.call(["survey", *(["--also", also] if also else [])], timeout_s=ASK_TIMEOUT_S))
        finally:
            client.close()

    outcomes = fan_out({name: partial(ask_one, name) for name in wanted})
    return {name: one.value or _unasked(not_asked(name, one.error)) for name, one in outcomes.items()}


def _survey(reply: AgentReply) -> Survey:
    if reply.error:
        return Survey(reply.name, error=str(reply.error), code=reply.error.code)
    attempts = {(one["job"], one["attempt"]): one for one in reply.payload["attempts"]}
    return Survey(reply.name, attempts, skew=reply.skew)


def _unasked(one: Report) -> Survey:
    return Survey(one.node, error=one.error, code=one.code)
