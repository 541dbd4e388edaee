# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as people and programs see it: documents with everything derived filled in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from ..model import Lease, Node, natural, restarts, restored
from ..scheduling import Capacity, capacities, rank_order
from ..store import Tables
from .finding import age, find_row
from .invariants import Violation, violations
from .nodes import load_leases, load_nodes

Document = dict[str, Any]


class View:
    """All of it at one point in time; see docs/state.md for the fields. What is not asked for is not read."""

    def __init__(self, tables: Tables, contacts: Callable[[str | None], Mapping[str, str]]) -> None:
        self.serial = tables.serial
        self.lineage = tables.lineage
        self._tables = tables
        self._contacts = contacts

    @cached_property
    def nodes(self) -> list[Document]:
        """All nodes, in rank order."""
        last_seen = self._contacts(None)
        ordered = sorted(capacities(load_nodes(self._tables).values(), self._leases), key=rank_order)
        return [_node(capacity, last_seen) for capacity in ordered]

    @cached_property
    def jobs(self) -> list[Document]:
        """All jobs, oldest first."""
        return [self._job(row) for row in sorted(self._tables.all("jobs"), key=age)]

    @cached_property
    def leases(self) -> list[Document]:
        """All leases."""
        return [lease.model_dump(mode="json") for lease in self._leases]

    @cached_property
    def violations(self) -> list[Violation]:
        """What must hold of all of it and does not."""
        return violations(self._tables)

    def node(self, name: str) -> Document | None:
        """The node of this name; no other is read."""
        row = self._tables.get("nodes", name)
        if row is None:
            return None
        mine = [lease for lease in self._leases if lease.node == name]
        (capacity,) = capacities([restored(Node, row, f"node {name}")], mine)
        return _node(capacity, self._contacts(name))

    def job(self, reference: str) -> Document:
        """The job with this id, or the latest of this name; :class:`NotFound` if there is none."""
        return self._job(find_row(self._tables, reference))

    @cached_property
    def _leases(self) -> list[Lease]:
        return load_leases(self._tables)

    @cached_property
    def _leased(self) -> dict[str, set[str]]:
        leased: dict[str, set[str]] = defaultdict(set)
        for lease in self._leases:
            leased[lease.job].add(lease.node)
        return leased

    def _job(self, job: Document) -> Document:
        last = job["attempts"][-1] if job["attempts"] else {}
        plan = last.get("plan") or {}
        return job | {
            "attempt": last.get("number"),
            "epoch": last.get("epoch"),
            "restarts": restarts(attempt["started_at"] for attempt in job["attempts"]),
            "world_size": plan.get("world_size"),
            "nodes": [part["node"] for part in plan.get("nodes", [])],
            "failure": next((one["failure"] for one in reversed(job["attempts"]) if one["started_at"]), None),
            "leased": sorted(self._leased.get(job["id"], ()), key=natural),
        }

    def counts(self) -> dict[str, int]:
        """How many nodes have each status."""
        found: dict[str, int] = {}
        for node in self.nodes:
            found[node["status"]] = found.get(node["status"], 0) + 1
        return found


def _node(capacity: Capacity, last_seen: Mapping[str, str]) -> Document:
    return capacity.node.model_dump(mode="json") | {
        "status": capacity.status,
        "last_seen": last_seen.get(capacity.node.name),
        "size": capacity.size,
        "free": capacity.free,
        "jobs": list(capacity.holders),
    }
