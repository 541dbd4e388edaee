# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes, clusters and jobs for the library's tests, as small as a test's sentence allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from muster.model import Gpu, JobSpec, Lease, Node, NodeFacts, Reachability, iso, lease_id

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def gpus(node: str, count: int, model: str = "NVIDIA H100 80GB HBM3", memory_mib: int = 81559) -> list[Gpu]:
    return [Gpu(index=i, uuid=f"GPU-{node}-{i}", model=model, memory_mib=memory_mib) for i in range(count)]


def facts(name: str, *, gpu: int = 0, slots: int | None = None, **more: Any) -> NodeFacts:
    """What a sync says of a node with ``gpu`` GPUs, or with ``slots`` slots."""
    fields: dict[str, Any] = {"address": "10.0.0.1", "gpus": gpus(name, gpu), "slots": slots, "cpus": 4}
    return NodeFacts(name=name, **(fields | more))


def node(name: str, *, gpu: int = 0, slots: int = 4, **more: Any) -> Node:
    """A node that was reached."""
    fields: dict[str, Any] = {"address": "10.0.0.1", "gpus": gpus(name, gpu), "slots": slots}
    return Node(name=name, **({"reachability": Reachability(ok=True, at=iso(NOON))} | fields | more))


def lease(on: Node, count: int, job: str = "other", first: int = 0) -> Lease:
    """``job`` holds ``count`` of the node's GPUs or slots, from number ``first`` on."""
    taken: Mapping[str, Iterable[Any]] = (
        {"gpus": [gpu.uuid for gpu in on.gpus[first : first + count]]}
        if on.gpus
        else {"slots": list(range(first, first + count))}
    )
    return Lease(id=lease_id(job, 1, on.name), job=job, attempt=1, epoch=1, node=on.name, granted_at=iso(NOON), **taken)


def spec(**asked: Any) -> JobSpec:
    return JobSpec.model_validate({"name": "ring", "command": ["python3", "train.py"]} | asked)
