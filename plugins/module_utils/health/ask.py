# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call a node, all at once: the report of its monitor, or of a look of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from ..model import Alert, Health, iso, utc_now
from ..remote import AgentReply, Dial, Outcome, fan_out

Document = dict[str, Any]
Source = Literal["auto", "daemon", "live"]
Steering = Literal["start", "stop", "restart", "status"]

ANSWER_S = 60.0
LOOK_S = 330.0
"""How long a node may take to hand over a report; to look at itself, for its slowest check and some more."""
SKEWED_S = 1.0
"""From here on a clock that differs from ours is worth a word."""
MOST_ALERTS = 20


@dataclass(frozen=True)
class Checkup:
    """What one node says of its health. ``report``: docs/health.md has it; None where there is none, and ``error`` why.

    ``skew_s``: how far the node's clock is ahead of ours, as far as is certain.
    """

    node: str
    report: Document | None
    heard_at: datetime
    error: str = ""
    skew_s: float | None = None
    answered: bool = True
    """Whether the node's agent has said something, if only that it cannot do as it was asked."""
    installed: bool = False
    """Whether the agent was put there to answer: it was missing, or another."""

    @property
    def skewed(self) -> bool:
        """Whether the node's clock is not ours."""
        return self.skew_s is not None and abs(self.skew_s) > SKEWED_S

    @property
    def unwatched(self) -> str:
        """Why the node was looked at though it was not asked for that: no monitor does, or it has fallen silent."""
        if self.report is None or self.report.get("source") != "live":
            return ""
        return "its monitor is silent" if self.report.get("daemon") else "no monitor runs"

    @property
    def health(self) -> Health:
        """The same as the state keeps it. Of a node that does not answer nothing is known."""
        if self.report is None:
            action = "" if self.answered else "see why it does not answer"
            return Health(state="unknown", reason=self.error, action=action)
        age_s = self.report.get("age_s")
        worst: Document = next(iter(self.report.get("checks") or []), {}) if self.report["reason"] else {}
        return Health(
            state=self.report["state"],
            vital=any(row["vital"] and row["status"] == "CRITICAL" for row in self.report.get("checks") or []),
            score=self.report["score"],
            check=worst.get("check", ""),
            reason=self.report["reason"],
            action=self.report["action"],
            source=self.report["source"],
            last_check=None if age_s is None else iso(self.heard_at - timedelta(seconds=age_s)),
            alerts=[Alert.model_validate(one) for one in self.report.get("alerts", [])[:MOST_ALERTS]],
        )


def remarks(found: Mapping[str, Checkup], asked: Source) -> list[str]:
    """What is to be said beside the findings, a line each: where the agent was put, and, unless a look was ``asked``
    for, which nodes were looked at that ought to be watched."""
    nodes: dict[str, list[str]] = {}
    for name, one in found.items():
        if one.unwatched and asked != "live":
            nodes.setdefault(one.unwatched, []).append(name)
    new = [name for name, one in found.items() if one.installed]
    told = [f"the agent was put on {', '.join(new)}, where it was missing or another"] if new else []
    return told + [
        f"{why} on {', '.join(names)}, which was looked at now: run monitor.yml" for why, names in nodes.items()
    ]


def look_at(
    dial: Dial,
    nodes: Iterable[str],
    source: Source = "auto",
    heard: Callable[[Checkup], None] = lambda checkup: None,
) -> dict[str, Checkup]:
    """Ask ``nodes`` how they are. ``daemon``: what their monitors have said; ``live``: a look now, which may take
    minutes; ``auto``: the first where it is fresh, else the second. ``heard`` is called as each answers."""
    timeout_s = ANSWER_S if source == "daemon" else LOOK_S
    found: dict[str, Checkup] = {}

    def took(outcome: Outcome[AgentReply]) -> None:
        found[outcome.name] = _checkup(outcome, utc_now())
        heard(found[outcome.name])

    outcomes = _ask(dial, nodes, ["health", "--source", source], timeout_s, took)
    return {name: found[name] for name in outcomes}


def clear(dial: Dial, node: str, check: str) -> Checkup:
    """Tell the monitor of ``node`` that the faults of a check (of all: ``all``) are mended."""
    (outcome,) = _ask(dial, [node], ["health", "--clear", check], ANSWER_S).values()
    return _checkup(outcome, utc_now())


def steer(dial: Dial, nodes: Iterable[str], action: Steering) -> tuple[dict[str, Document], dict[str, str]]:
    """Start, stop or restart the monitors of ``nodes``, or ask for their status. Returns how they are then
    (docs/agent.md has the object), and why there is no word of the others; both by node."""
    outcomes = _ask(dial, nodes, ["monitor", "--action", action], ANSWER_S)
    troubles = {name: trouble(outcome) for name, outcome in outcomes.items()}
    monitors = {name: one.get().payload["monitor"] for name, one in outcomes.items() if not troubles[name]}
    return monitors, {name: why for name, why in troubles.items() if why}


def trouble(outcome: Outcome[AgentReply]) -> str:
    """Why a node has not done what it was asked, in a sentence that names it; empty if it has."""
    reply = outcome.value
    why = str(outcome.error if reply is None else reply.error or "")
    return why if not why or outcome.name in why else f"{outcome.name}: {why}"


def _checkup(outcome: Outcome[AgentReply], now: datetime) -> Checkup:
    why = trouble(outcome)
    if why:
        silent = outcome.value is None or not outcome.value.payload
        return Checkup(outcome.name, None, now, why, answered=not silent)
    reply = outcome.get()
    skew_s = round(reply.skew.total_seconds(), 3)
    return Checkup(outcome.name, reply.payload["health"], now, skew_s=skew_s, installed=reply.installed)


def _ask(
    dial: Dial,
    nodes: Iterable[str],
    words: Sequence[str],
    timeout_s: float,
    took: Callable[[Outcome[AgentReply]], None] | None = None,
) -> dict[str, Outcome[AgentReply]]:
    def ask(name: str) -> AgentReply:
        client = dial(name)
        try:
            return client.call(words, timeout_s=timeout_s)
        finally:
            client.close()

    return fan_out({name: partial(ask, name) for name in nodes}, took)
