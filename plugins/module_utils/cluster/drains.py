# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drains that follow from health: a node that cannot be used is taken out of placement, and offered again when it is
well. Only drains that were set here are lifted here: those of people stay, whatever the health says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ..model import Admin, Health, iso, natural, parse, restored
from ..store import Draft
from .nodes import NodeChange, health_of, put_part

WORDS = "health: "
WINDOW = timedelta(minutes=10)
PART = 0.10
"""No more than this part of the nodes, but one at least, is drained within the window: if all nodes are unwell at once,
it is rather a check that is (NVSentinel stops at half of the nodes in 5 minutes)."""
WELL = ("healthy", "degraded")


class Drains(NamedTuple):
    """The nodes that were drained, those that are offered again, and those that were spared by the limit."""

    drained: list[str] = []
    resumed: list[str] = []
    spared: list[str] = []


class Standing(NamedTuple):
    """What of a node is looked at here."""

    name: str
    admin: Admin
    health: Health


def follow(
    draft: Draft, judged: Iterable[NodeChange], entered: Mapping[str, Health], *, who: str, now: datetime
) -> Drains:
    """Drain and resume those of the nodes whose health was just ``entered`` for which it is time."""
    rows = {change.name: change.after for change in judged if change.after is not None}
    if draft.count("nodes") > len(rows):  # the limit counts the others as well
        rows = {row["name"]: row for row in draft.all("nodes")}
    standings = {name: _standing(row, entered.get(name)) for name, row in rows.items()}
    drains = decide(standings.values(), entered, now)
    for name in drains.drained:
        health = standings[name].health.model_copy(update={"drained_at": iso(now)})
        reason = f"{WORDS}{health.check}: {health.reason}"
        admin = Admin(state="drained", by=who, at=health.drained_at, reason=reason)
        put_part(draft, rows[name], health=health, admin=admin)
    for name in drains.resumed:
        put_part(draft, rows[name], admin=Admin(state="enabled", by=who, at=iso(now)))
    return drains


def decide(nodes: Iterable[Standing], judged: Collection[str], now: datetime) -> Drains:
    """What is to be done: pure."""
    nodes = sorted(nodes, key=lambda node: natural(node.name))
    mine = [node for node in nodes if _is_ours(node)]
    recent = [node for node in nodes if node.health.drained_at and now - parse(node.health.drained_at) < WINDOW]
    sick = [
        node.name
        for node in nodes
        if node.name in judged
        and node.admin.state == "enabled"
        and node.health.state == "unhealthy"
        and node.health.vital
    ]
    room = max(0, max(1, int(PART * len(nodes))) - len(recent))
    well = [node.name for node in mine if node.name in judged and node.health.state in WELL]
    return Drains(sick[:room], well, sick[room:])


def _standing(row: Mapping[str, Any], health: Health | None) -> Standing:
    admin = restored(Admin, row.get("admin") or {}, f"node {row['name']}.admin")
    return Standing(row["name"], admin, health or health_of(row))


def _is_ours(node: Standing) -> bool:
    """Whether the node's drain was set here: at that very moment, in those words. Who drains it anew takes it over."""
    admin = node.admin
    return admin.state == "drained" and admin.at == node.health.drained_at and admin.reason.startswith(WORDS)
