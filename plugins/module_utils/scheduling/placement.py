# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job goes: a pure choice of nodes and of GPUs or slots on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Constraints, JobSpec, NoCapacity, natural
from .capacity import Capacity


@dataclass(frozen=True)
class Placement:
    """A job's part on one node: uuids of GPUs, or indices of slots."""

    node: str
    gpus: tuple[str, ...] = ()
    slots: tuple[int, ...] = ()

    @property
    def processes(self) -> int:
        """One a GPU, or one a slot."""
        return len(self.gpus) or len(self.slots)


def place(spec: JobSpec, cluster: Sequence[Capacity]) -> list[Placement]:
    """The nodes for ``spec`` in rank order (by the label ``topology``, then by name), with what each gives.

    Raises :class:`NoCapacity`: ``permanent`` if an idle cluster would not do either. The choice is best fit: whole
    racks before parts of several, full nodes before empty ones, so that large holes stay for large jobs.
    """
    fitting = _fitting(spec.constraints, cluster)
    kind = _kind(spec)
    try:
        chosen = _chosen(spec, kind, fitting)
    except NoCapacity as error:
        left_out = [f"{c.node.name} ({c.status})" for c in sorted(fitting, key=rank_order) if not c.usable]
        hint = f"{error.hint}; left out: {', '.join(left_out)}" if left_out else error.hint
        raise NoCapacity(error.message, hint, permanent=error.permanent) from None
    return [_part(capacity, count) for capacity, count in sorted(chosen, key=lambda pair: rank_order(pair[0]))]


def rank_order(capacity: Capacity) -> tuple[object, ...]:
    """How nodes are ordered for ranks: neighbours in the topology get neighbouring ranks."""
    return natural(capacity.node.labels.get("topology", "")), natural(capacity.node.name)


Chosen = list[tuple[Capacity, int]]


def _chosen(spec: JobSpec, kind: str | None, fitting: list[Capacity]) -> Chosen:
    candidates = [c for c in fitting if c.usable and (kind is None or bool(c.node.gpus) is (kind == "gpu"))]
    if spec.nodes is None:
        return _packed(spec, candidates)
    if spec.gpus_per_node or spec.slots_per_node:
        each = spec.gpus_per_node or spec.slots_per_node or 0
        return _alike(spec, candidates, each)
    return _whole(spec, candidates)


def _kind(spec: JobSpec) -> str | None:
    if spec.gpus or spec.gpus_per_node or spec.constraints.gpu_model or spec.constraints.min_gpu_memory_mib:
        return "gpu"
    return "slot" if spec.slots or spec.slots_per_node else None


def _fitting(constraints: Constraints, cluster: Sequence[Capacity]) -> list[Capacity]:
    """The nodes that satisfy ``constraints``; says which constraint nobody satisfies."""
    fitting = list(cluster)
    for key, value in constraints.labels.items():
        fitting = [c for c in fitting if c.node.labels.get(key) == value]
        if not fitting:
            known = sorted({c.node.labels[key] for c in cluster if key in c.node.labels}, key=natural)
            offered = f"{key} is {', '.join(known)}" if known else f"no node has a label {key}"
            raise NoCapacity(f"no node has the label {key}={value}", f"{offered}", permanent=True)
    model = constraints.gpu_model.lower()
    if model:
        fitting = [c for c in fitting if any(model in gpu.model.lower() for gpu in c.node.gpus)]
        if not fitting:
            known = sorted({gpu.model for c in cluster for gpu in c.node.gpus})
            raise NoCapacity(
                f"no node has a GPU {constraints.gpu_model!r}",
                f"there are: {', '.join(known)}" if known else "no node has a GPU at all",
                permanent=True,
            )
    if constraints.min_gpu_memory_mib:
        fitting = [c for c in fitting if c.node.gpu_memory_mib >= constraints.min_gpu_memory_mib]
        if not fitting:
            most = max((c.node.gpu_memory_mib for c in cluster), default=0)
            raise NoCapacity(
                f"no node has GPUs of {constraints.min_gpu_memory_mib} MiB", f"the largest has {most}", permanent=True
            )
    return fitting


def _whole(spec: JobSpec, candidates: list[Capacity]) -> Chosen:
    """``nodes`` alone: nodes as a whole, of one kind if that can be."""
    wanted = spec.nodes or 0
    candidates = [c for c in candidates if c.size]
    idle = [c for c in candidates if not c.holders]
    for pool in ([c for c in idle if c.node.gpus], [c for c in idle if not c.node.gpus], idle):
        if len(pool) >= wanted:
            return [(c, c.size) for c in _near_each_other(pool, wanted)]
    raise _no_capacity(f"{wanted} whole nodes", len(candidates) >= wanted, f"{len(idle)} are idle", candidates)


def _alike(spec: JobSpec, candidates: list[Capacity], each: int) -> Chosen:
    """``nodes`` with a count for each: the fullest nodes that still have that many."""
    wanted = spec.nodes or 0
    unit = "GPUs" if spec.gpus_per_node else "slots"
    large = [c for c in candidates if c.size >= each]
    free = sorted((c for c in large if c.free >= each), key=lambda c: (c.free, rank_order(c)))
    if len(free) < wanted:
        asked = f"{wanted} nodes with {each} {unit} each"
        raise _no_capacity(asked, len(large) >= wanted, f"{len(free)} such nodes are free", large or candidates)
    return [(c, each) for c in _near_each_other(free, wanted)]


def _packed(spec: JobSpec, candidates: list[Capacity]) -> Chosen:
    """``gpus`` or ``slots`` alone: on as few nodes as possible, the last of them the tightest fit."""
    wanted = spec.gpus or spec.slots or 0
    unit = "GPUs" if spec.gpus else "slots"
    free = [c for c in candidates if c.free]
    if sum(c.free for c in free) < wanted:
        in_all = sum(c.size for c in candidates)
        raise _no_capacity(
            f"{wanted} {unit}", in_all >= wanted, f"{sum(c.free for c in free)} of {in_all} are free", candidates
        )
    chosen: Chosen = []
    while wanted:
        enough = [c for c in free if c.free >= wanted]
        best = (
            min(enough, key=lambda c: (c.free, rank_order(c)))
            if enough
            else min(free, key=lambda c: (-c.free, rank_order(c)))
        )
        count = min(best.free, wanted)
        chosen.append((best, count))
        free.remove(best)
        wanted -= count
    return chosen


def _near_each_other(pool: list[Capacity], wanted: int) -> list[Capacity]:
    """``wanted`` nodes of ``pool`` in as few topology groups as possible, the pool's order deciding within a group."""
    sizes = Counter(c.node.labels.get("topology", "") for c in pool)
    holding = [group for group, size in sizes.items() if size >= wanted]
    if holding:
        group = min(holding, key=lambda name: (sizes[name], natural(name)))
        return [c for c in pool if c.node.labels.get("topology", "") == group][:wanted]
    position = {id(c): index for index, c in enumerate(pool)}
    largest_first = sorted(
        pool,
        key=lambda c: (
            -sizes[c.node.labels.get("topology", "")],
            natural(c.node.labels.get("topology", "")),
            position[id(c)],
        ),
    )
    return largest_first[:wanted]


def _part(capacity: Capacity, count: int) -> Placement:
    if capacity.node.gpus:
        return Placement(capacity.node.name, gpus=tuple(gpu.uuid for gpu in capacity.free_gpus[:count]))
    return Placement(capacity.node.name, slots=capacity.free_slots[:count])


def _no_capacity(asked: str, ever: bool, free: str, candidates: list[Capacity]) -> NoCapacity:
    if not ever:
        size = ", ".join(f"{c.node.name} {c.size}" for c in sorted(candidates, key=rank_order)[:8]) or "none"
        return NoCapacity(
            f"the job asks for {asked}, more than the cluster has", f"usable nodes and sizes: {size}", permanent=True
        )
    holders = sorted({holder for c in candidates for holder in c.holders})
    return NoCapacity(
        f"the job asks for {asked}, and {free}", f"the rest is held by {', '.join(holders)}", permanent=False
    )
