# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the agents of a gang's nodes: whatever goes wrong with one is that node's report, never a lost answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from ..remote import AgentClient, Dial, fan_out
from .report import Report, report

ASK_TIMEOUT_S = 30.0
"""How long a node may take to say how things stand."""


def ask(client: AgentClient, words: Sequence[str], content: bytes | None = None, *, timeout_s: float) -> Report:
    """What one node says to a verb of the agent."""
    return report(client.call(words, content, timeout_s))


def ask_all(dial: Dial, nodes: Iterable[str], words: Sequence[str], *, timeout_s: float) -> dict[str, Report]:
    """What each of ``nodes`` says to the same verb, all of them asked at once; by name."""

    def ask_one(name: str) -> Report:
        client = dial(name)
        try:
            return ask(client, words, timeout_s=timeout_s)
        finally:
            client.close()

    outcomes = fan_out({name: partial(ask_one, name) for name in nodes})
    return {name: one.value or not_asked(name, one.error) for name, one in outcomes.items()}


def not_asked(name: str, error: Exception | None) -> Report:
    """The report of a node that an error of ours kept from being asked."""
    return Report(name, None, f"{name} could not be asked: {type(error).__name__}: {error}", "internal")
