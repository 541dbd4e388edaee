# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each node has, what is free of it, and who holds the rest. Derived from nodes and leases, never stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..model import Gpu, Lease, Node, Status, status


@dataclass(frozen=True)
class Capacity:
    """One node at one moment.

    ``free_gpus`` and ``free_slots`` are in index order; ``holders`` are the jobs with a lease here.
    """

    node: Node
    status: Status
    free_gpus: tuple[Gpu, ...]
    free_slots: tuple[int, ...]
    holders: tuple[str, ...]

    @property
    def size(self) -> int:
        """Its GPUs, or its slots where it has no GPU."""
        return len(self.node.gpus) or self.node.slots

    @property
    def free(self) -> int:
        """How many of those nobody holds."""
        return len(self.free_gpus) if self.node.gpus else len(self.free_slots)

    @property
    def usable(self) -> bool:
        """Whether jobs may be placed here: what cannot be asked, or is unwell or drained, is never offered."""
        return self.status in ("idle", "mixed", "allocated")


def capacities(
    nodes: Iterable[Node], leases: Iterable[Lease], titles: Mapping[str, str] | None = None
) -> list[Capacity]:
    """The capacity of each node, given all leases of the cluster and, for messages, a title for each job id."""
    titles = titles or {}
    held: dict[str, list[Lease]] = defaultdict(list)
    for lease in leases:
        held[lease.node].append(lease)
    return [_capacity(node, held[node.name], titles) for node in nodes]


def _capacity(node: Node, leases: list[Lease], titles: Mapping[str, str]) -> Capacity:
    gpus = {uuid for lease in leases for uuid in lease.gpus}
    slots = {index for lease in leases for index in lease.slots}
    free_gpus = tuple(gpu for gpu in sorted(node.gpus, key=lambda gpu: gpu.index) if gpu.uuid not in gpus)
    free_slots = tuple(index for index in range(node.slots) if index not in slots) if not node.gpus else ()
    taken = (len(node.gpus) or node.slots) - (len(free_gpus) if node.gpus else len(free_slots))
    # A GPU that vanished may leave a lease with nothing "taken": the node is in use all the same.
    taken = max(taken, 1) if leases else taken
    return Capacity(
        node=node,
        status=status(node, taken=taken),
        free_gpus=free_gpus,
        free_slots=free_slots,
        holders=tuple(dict.fromkeys(titles.get(lease.job, lease.job) for lease in leases)),
    )
