# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes' statuses amount to: how the attempt ended, and the sentence that tells it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ..cluster import Outcome
from ..model import State, counted, natural, parse
from ..remote import AgentReply

Status = Mapping[str, Any]
"""A status object of the agent; docs/agent.md has its fields."""

ENDED = ("succeeded", "failed", "canceled", "refused", "lost")


@dataclass(frozen=True)
class Report:
    """One node's last word. ``status`` is None where it gave none; ``error`` then says why, in one sentence."""

    node: str
    status: Status | None
    error: str = ""
    code: str = ""
    skew: timedelta = field(default=timedelta(0))
    """How far the node's clock is ahead of ours, as far as is certain."""

    @property
    def state(self) -> str:
        """The attempt's state on this node, ``silent`` where it did not say."""
        return str(self.status["state"]) if self.status else "silent"

    @property
    def clear(self) -> bool:
        """Whether the node itself says that no process of the attempt is left."""
        return self.status is not None and self.state in ENDED and not self.status.get("left")


def report(reply: AgentReply) -> Report:
    """The node's word in an agent's answer to start, status or stop."""
    if reply.error and reply.error.code == "no_such_job":
        return Report(reply.name, no_record(reply.name))
    status = reply.payload.get("attempt") or next(iter(reply.payload.get("attempts", [])), None)
    error, code = (str(reply.error), reply.error.code) if reply.error else ("", "")
    return Report(reply.name, status, error, code, reply.skew)


def no_record(node: str) -> Status:
    """The status of an attempt that ``node`` does not know: it has lost it, and has nothing of it."""
    return {"state": "lost", "left": 0, "unknown": True, "reason": f"{node} has no record of it"}


def refusal(reports: Iterable[Report]) -> str:
    """Why the gang was not started: each problem once, with the nodes that have it."""
    where: dict[str, list[str]] = defaultdict(list)
    codes: dict[str, str] = {}
    for one in reports:
        for problem in (one.status or {}).get("problems", []):
            if problem["node"] not in where[problem["message"]]:
                where[problem["message"]].append(problem["node"])
            codes[problem["message"]] = problem["code"]
        if one.status is None and one.error:
            where[one.error].append("")
    causes = [message for message in where if not _consequence(codes.get(message, ""))] or list(where)
    return "; ".join(_placed(message, where[message]) for message in causes)


def refusal_codes(reports: Iterable[Report]) -> set[str]:
    """The kinds of problems that :func:`refusal` tells of, but for those that follow from others."""
    codes = {str(problem["code"]) for one in reports for problem in (one.status or {}).get("problems", [])}
    return {code for code in codes if not _consequence(code)} or codes


def outcome(reports: Sequence[Report], aborted: str = "") -> Outcome:
    """How the attempt ended, given every node's last word. ``aborted``: why the controller stopped it, if it did."""
    failures = [
        (parse(one.status["failure"]["at"]) - one.skew, one.status["failure"])
        for one in reports
        if one.status and one.status.get("failure")
    ]
    missed = _missed(reports)
    if failures and not missed:
        first = min(failures, key=lambda pair: pair[0])[1]
        return Outcome("FAILED", first_failure(first), dict(first))
    gone = [one for one in reports if one.state in ("silent", "lost")]
    if missed or gone:
        names = sorted({*missed, *(one.node for one in gone)}, key=natural)
        tellers = gone or [one for one in reports if missed.intersection((one.status or {}).get("lost", []))]
        said = dict.fromkeys(one.error or str((one.status or {}).get("reason")) for one in tellers)
        unknown = not missed and all((one.status or {}).get("unknown") for one in gone)
        return Outcome("LOST", f"lost {', '.join(names)}: {'; '.join(said)}", blamed=tuple(names), unknown=unknown)
    if all(one.state == "succeeded" for one in reports):
        return Outcome("SUCCEEDED")
    reasons = dict.fromkeys(str(one.status["reason"]) for one in reports if one.status and one.status.get("reason"))
    state: State = "CANCELED" if any(one.state == "canceled" for one in reports) else "FAILED"
    return Outcome(state, aborted or "; ".join(reasons) or "the nodes say no reason")


def _missed(reports: Iterable[Report]) -> set[str]:
    """Whom the gang itself has missed: before ranks elsewhere failed of that, while who is silent to us may be well.
    A node that was cut off has missed the others as well; what most say counts."""
    votes = Counter(str(name) for one in reports for name in (one.status or {}).get("lost", []))
    return {name for name, count in votes.items() if count == max(votes.values())}


def doubts(reports: Iterable[Report]) -> dict[str, str]:
    """The nodes that could not say that nothing of the attempt is left, and why."""
    return {
        one.node: one.error or f"{(one.status or {}).get('left') or 'some'} processes are left ({one.state})"
        for one in reports
        if not one.clear
    }


def told(name: str, job: str, end: Outcome, restarts: int = 0) -> str:
    """The whole story for the user: one sentence, the error file, the last lines of the first failing rank."""
    again = f" after {counted(restarts, 'restart')}" if restarts else ""
    story = f"job {name} ({job}) {end.state}{again}" + (f": {end.reason}" if end.reason else "")
    failure = end.failure or {}
    if failure.get("error"):
        story += f"\nits error file says: {failure['error']}"
    if failure.get("tail"):
        story += f"\nlast lines of rank {failure['rank']} on {failure['node']}:\n  " + "\n  ".join(failure["tail"])
    return story


def first_failure(failure: Mapping[str, Any]) -> str:
    """A failure in one sentence."""
    if failure.get("cause", "rank") != "rank":
        return str(failure["reason"])
    return f"rank {failure['rank']} on {failure['node']} failed first: {failure['reason']}"


def _consequence(code: str) -> bool:
    """Whether a node has this problem only because another one did not come."""
    return code.startswith("gate_") or code == "canceled"


def _placed(message: str, nodes: list[str]) -> str:
    named = sorted((node for node in nodes if node and node not in message), key=natural)
    return f"{message} on {', '.join(named)}" if named else message
