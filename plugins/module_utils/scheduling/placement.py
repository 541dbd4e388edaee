# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job goes: a pure choice of nodes and of GPUs or slots on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..model import Constraints, Gpu, JobSpec, NoCapacity, natural
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

    Raises :class:`NoCapacity`: ``permanent`` if no job that ends would make room. The choice is best fit: one
    topology group before parts of several, full nodes before empty ones, so that large holes stay for large jobs.
    """
    fitting = sorted(_fitting(spec.constraints, cluster), key=rank_order)
    kind = _kind(spec)
    try:
        chosen = _chosen(spec, kind, fitting)
    except NoCapacity as error:
        left_out = [f"{c.node.name} ({c.status})" for c in fitting if not c.usable]
        hint = f"{error.hint}; left out: {_some(left_out)}" if left_out else error.hint
        raise NoCapacity(error.message, hint, permanent=error.permanent) from None
    return [_part(capacity, count) for capacity, count in sorted(chosen, key=lambda pair: rank_order(pair[0]))]


def rank_order(capacity: Capacity) -> tuple[object, ...]:
    """How nodes are ordered for ranks: neighbours in the topology get neighbouring ranks."""
    return natural(_group(capacity)), natural(capacity.node.name), capacity.node.name


Chosen = list[tuple[Capacity, int]]


def _chosen(spec: JobSpec, kind: str | None, fitting: list[Capacity]) -> Chosen:
    candidates = [c for c in fitting if kind is None or bool(c.node.gpus) is (kind == "gpu")]
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
    """The nodes that satisfy ``constraints``, with only the GPUs that do; says which constraint nobody satisfies."""
    fitting = [c for c in cluster if constraints.labels.items() <= c.node.labels.items()]
    if cluster and not fitting:
        raise _no_such_labels(constraints.labels, cluster)
    if not constraints.gpu_model and not constraints.min_gpu_memory_mib:
        return fitting
    asked = constraints.gpu_model or "GPU"
    if constraints.min_gpu_memory_mib:
        asked += f" with {constraints.min_gpu_memory_mib} MiB"
    offered = {f"{gpu.model} with {gpu.memory_mib} MiB" for c in fitting for gpu in c.node.gpus}
    fitting = [c for c in (_restricted(c, constraints) for c in fitting) if c.node.gpus]
    if not fitting:
        where = " that has these labels" if constraints.labels else ""
        hint = f"there are: {_some(sorted(offered, key=natural))}" if offered else "there is no GPU at all"
        raise NoCapacity(f"no node{where} has a {asked}", hint, permanent=True)
    return fitting


def _restricted(capacity: Capacity, constraints: Constraints) -> Capacity:
    """``capacity`` as if only the GPUs that satisfy ``constraints`` were there."""

    def satisfies(gpu: Gpu) -> bool:
        named = constraints.gpu_model.lower() in gpu.model.lower()
        return named and gpu.memory_mib >= constraints.min_gpu_memory_mib

    gpus = [gpu for gpu in capacity.node.gpus if satisfies(gpu)]
    free = tuple(gpu for gpu in capacity.free_gpus if satisfies(gpu))
    return replace(capacity, node=capacity.node.model_copy(update={"gpus": gpus}), free_gpus=free)


def _no_such_labels(labels: Mapping[str, str], cluster: Sequence[Capacity]) -> NoCapacity:
    for key, value in labels.items():
        known = {c.node.labels[key] for c in cluster if key in c.node.labels}
        if value not in known:
            offered = f"{key} is {_some(sorted(known, key=natural))}" if known else f"no node has a label {key}"
            return NoCapacity(f"no node has the label {key}={value}", offered, permanent=True)
    asked = ", ".join(f"{key}={value}" for key, value in labels.items())
    return NoCapacity(
        f"no node has all of the labels {asked}", "each of them is there, but on other nodes", permanent=True
    )


def _whole(spec: JobSpec, candidates: list[Capacity]) -> Chosen:
    """``nodes`` alone: nodes as a whole, of one kind if that can be."""
    wanted = spec.nodes or 0
    candidates = [c for c in candidates if c.size]
    usable = [c for c in candidates if c.usable]
    idle = [c for c in usable if not c.holders]
    for pool in ([c for c in idle if c.node.gpus], [c for c in idle if not c.node.gpus], idle):
        if len(pool) >= wanted:
            return [(c, c.size) for c in _near_each_other(pool, wanted)]
    raise _no_capacity(_count(wanted, "whole node"), wanted, len(candidates), len(usable), len(idle), candidates)


def _alike(spec: JobSpec, candidates: list[Capacity], each: int) -> Chosen:
    """``nodes`` with a count for each: the fullest nodes that still have that many."""
    wanted = spec.nodes or 0
    large = [c for c in candidates if c.size >= each]
    usable = [c for c in large if c.usable]
    free = sorted((c for c in usable if c.free >= each), key=lambda c: c.free)
    if len(free) < wanted:
        asked = f"{_count(wanted, 'node')} with {_count(each, _unit(spec))} each"
        raise _no_capacity(asked, wanted, len(large), len(usable), len(free), large or candidates)
    return [(c, each) for c in _near_each_other(free, wanted)]


def _packed(spec: JobSpec, candidates: list[Capacity]) -> Chosen:
    """``gpus`` or ``slots`` alone: on as few nodes as possible, in one topology group if that takes no more of them."""
    wanted = spec.gpus or spec.slots or 0
    usable = [c for c in candidates if c.usable]
    free = [c for c in usable if c.free]
    there, usable_size, free_size = (
        sum(c.size for c in candidates),
        sum(c.size for c in usable),
        sum(c.free for c in free),
    )
    if free_size < wanted:
        raise _no_capacity(_count(wanted, _unit(spec)), wanted, there, usable_size, free_size, candidates)
    groups = [group for group in _groups(free).values() if sum(c.free for c in group) >= wanted]
    choices = [_fewest(pool, wanted) for pool in (*sorted(groups, key=lambda group: sum(c.free for c in group)), free)]
    return min(choices, key=len)


def _fewest(pool: list[Capacity], wanted: int) -> Chosen:
    """The fewest nodes of ``pool`` with ``wanted`` free: the emptiest ones, and the last of them the tightest fit."""
    rest = list(pool)
    chosen: Chosen = []
    while wanted:
        enough = [c for c in rest if c.free >= wanted]
        best = min(enough, key=lambda c: c.free) if enough else max(rest, key=lambda c: c.free)
        count = min(best.free, wanted)
        chosen.append((best, count))
        rest = [c for c in rest if c is not best]
        wanted -= count
    return chosen


def _near_each_other(pool: list[Capacity], wanted: int) -> list[Capacity]:
    """``wanted`` nodes of ``pool`` in as few topology groups as possible, the pool's order deciding within a group."""
    groups = sorted(_groups(pool).values(), key=len)
    holding = next((group for group in groups if len(group) >= wanted), None)
    if holding is not None:
        return holding[:wanted]
    return [c for group in sorted(groups, key=len, reverse=True) for c in group][:wanted]


def _groups(pool: Sequence[Capacity]) -> dict[str, list[Capacity]]:
    found: dict[str, list[Capacity]] = defaultdict(list)
    for capacity in pool:
        found[_group(capacity)].append(capacity)
    return {name: found[name] for name in sorted(found, key=natural)}


def _group(capacity: Capacity) -> str:
    return capacity.node.labels.get("topology", "")


def _part(capacity: Capacity, count: int) -> Placement:
    if capacity.node.gpus:
        return Placement(capacity.node.name, gpus=tuple(gpu.uuid for gpu in capacity.free_gpus[:count]))
    return Placement(capacity.node.name, slots=capacity.free_slots[:count])


def _no_capacity(
    asked: str, wanted: int, there: int, usable: int, free: int, candidates: Sequence[Capacity]
) -> NoCapacity:
    """Why ``asked`` (that is, ``wanted`` nodes or GPUs or slots) is too much, given how many there are at all."""
    if usable < wanted:
        whose = "the cluster has" if there < wanted else "the nodes in service have"
        sizes = _some([f"{c.node.name} ({c.size})" for c in candidates if c.usable]) or "none"
        return NoCapacity(f"the job asks for {asked}, more than {whose}", f"in service: {sizes}", permanent=True)
    holders = sorted({holder for c in candidates if c.usable for holder in c.holders})
    return NoCapacity(
        f"the job asks for {asked}; {free} of {usable} are free now",
        f"the rest is held by {_some(holders)}",
        permanent=False,
    )


def _unit(spec: JobSpec) -> str:
    return "GPU" if spec.gpus or spec.gpus_per_node else "slot"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _some(words: Sequence[str], most: int = 8) -> str:
    """The words as one list in a sentence, the first ``most`` of them."""
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return ", ".join([*words[:most], *more])
