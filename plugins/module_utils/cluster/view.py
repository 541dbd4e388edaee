# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as people and programs see it: documents with everything derived filled in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ..model import natural
from ..scheduling import capacities, rank_order
from ..store import Tables
from .jobs import load_jobs, unknown_job
from .nodes import load_leases, load_nodes

Document = dict[str, Any]


class View:
    """All of it at one point in time; see docs/state.md for the fields."""

    def __init__(self, tables: Tables, last_seen: Mapping[str, str]) -> None:
        self.serial = tables.serial
        self.lineage = tables.lineage
        leases = load_leases(tables)
        nodes = load_nodes(tables)
        ordered = sorted(capacities(nodes.values(), leases), key=rank_order)
        self.nodes: list[Document] = [
            capacity.node.model_dump(mode="json")
            | {
                "status": capacity.status,
                "last_seen": last_seen.get(capacity.node.name),
                "size": capacity.size,
                "free": capacity.free,
                "jobs": list(capacity.holders),
            }
            for capacity in ordered
        ]
        leased: dict[str, set[str]] = defaultdict(set)
        for lease in leases:
            leased[lease.job].add(lease.node)
        self.jobs: list[Document] = [_job(job.model_dump(mode="json"), leased[job.id]) for job in load_jobs(tables)]
        self.leases: list[Document] = [lease.model_dump(mode="json") for lease in leases]

    def job(self, reference: str) -> Document:
        """The job with this id, or the latest of this name; :class:`NotFound` if there is none."""
        found = [job for job in self.jobs if job["id"] == reference] or [
            job for job in self.jobs if job["name"] == reference
        ]
        if not found:
            raise unknown_job(reference, self.jobs)
        return found[-1]

    def counts(self) -> dict[str, int]:
        """How many nodes have each status."""
        found: dict[str, int] = {}
        for node in self.nodes:
            found[node["status"]] = found.get(node["status"], 0) + 1
        return found


def _job(job: Document, leased: set[str]) -> Document:
    last = job["attempts"][-1] if job["attempts"] else {}
    plan = last.get("plan") or {}
    return job | {
        "attempt": last.get("number"),
        "epoch": last.get("epoch"),
        "world_size": plan.get("world_size"),
        "nodes": [part["node"] for part in plan.get("nodes", [])],
        "failure": last.get("failure"),
        "leased": sorted(leased, key=natural),
    }
