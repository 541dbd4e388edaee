# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may happen to nodes, as functions over one transaction's draft."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel

from ..model import (
    ENDED,
    Admin,
    Health,
    InUse,
    InvalidInput,
    Lease,
    Node,
    NodeFacts,
    NotFound,
    Reachability,
    nearest,
    parse,
    restored,
)
from ..store import Draft, Tables

SAME_LOOK = timedelta(seconds=1)


@dataclass(frozen=True)
class NodeChange:
    """What a transaction did to one node. ``before`` and ``after`` are documents, None where there is none."""

    name: str
    action: Literal["created", "updated", "removed", "unchanged", "kept"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str = ""


def load_nodes(tables: Tables) -> dict[str, Node]:
    """All nodes by name."""
    return {row["name"]: restored(Node, row, f"node {row['name']}") for row in tables.all("nodes")}


def load_leases(tables: Tables, job: str | None = None) -> list[Lease]:
    """All leases, or those of the job with this id."""
    return [restored(Lease, row, f"lease {row['id']}") for row in tables.all("leases") if job in (None, row["job"])]


def sync(draft: Draft, facts: Sequence[NodeFacts], *, keep: Collection[str] | None, now: str) -> list[NodeChange]:
    """Make the state say what ``facts`` say. With ``keep``, nodes that are in neither are removed unless leased."""
    twice = [name for name, count in Counter(fact.name for fact in facts).items() if count > 1]
    if twice:
        raise InvalidInput(f"node {twice[0]} is given twice", "each node once")
    known = load_nodes(draft)
    changes = [_put(draft, known.get(fact.name), _merged(known.get(fact.name), fact, now)) for fact in facts]
    if keep is not None:
        staying = {fact.name for fact in facts} | set(keep)
        changes += remove(draft, [name for name in known if name not in staying], leased="keep")
    _refuse_shared_gpus(load_nodes(draft).values())
    return changes


def remove(draft: Draft, names: Iterable[str], *, leased: Literal["keep", "refuse"]) -> list[NodeChange]:
    """Forget nodes. One that holds a lease is kept and said, or refused (:class:`InUse`): unless that is only of what
    is over, and could not say that nothing is left of it. Who names such a node says that the machine is gone.
    """
    leases = load_leases(draft)
    changes = []
    for name in names:
        before = draft.get("nodes", name)
        mine = [lease for lease in leases if lease.node == name]
        holders = [lease.job for lease in mine if leased == "keep" or not _is_over(draft, lease)]
        if before is None:
            changes.append(NodeChange(name, "unchanged", None, None))
        elif holders:
            reason = f"node {name} holds a lease of job {holders[0]}"
            if leased == "refuse":
                raise InUse(reason, "release the job first")
            changes.append(NodeChange(name, "kept", before, before, reason))
        else:
            draft.remove("leases", [lease.id for lease in mine])
            draft.remove("nodes", [name])
            changes.append(NodeChange(name, "removed", before, None))
    return changes


def administer(draft: Draft, names: Iterable[str], admin: Admin) -> list[NodeChange]:
    """Drain or resume nodes; saying again what already holds changes nothing."""
    known = load_nodes(draft)
    changes = []
    for name in names:
        node = known.get(name)
        if node is None:
            raise unknown_node(name, known)
        same = node.admin.state == admin.state and node.admin.reason == admin.reason
        changes.append(_put(draft, node, node if same else node.model_copy(update={"admin": admin})))
    return changes


def mark(draft: Draft, reached: Iterable[str], unreachable: Mapping[str, str], *, now: str) -> None:
    """Note who could be reached and who could not (and why); only a change of that is written."""
    known = load_nodes(draft)
    verdicts = {name: Reachability(ok=True, at=now) for name in reached}
    verdicts |= {name: Reachability(ok=False, at=now, reason=why) for name, why in unreachable.items()}
    for name, verdict in verdicts.items():
        node = known.get(name)
        if node is not None and node.reachability.ok is not verdict.ok:
            _put(draft, node, node.model_copy(update={"reachability": verdict}))


def judge(draft: Draft, verdicts: Mapping[str, Health], *, now: str) -> tuple[list[NodeChange], dict[str, Health]]:
    """Enter what was found of nodes' health, and return what was entered as well. Who has left the state since is
    passed over; ``at`` stays where the verdict does."""
    changes, entered = [], {}
    for name, verdict in verdicts.items():
        # Of a thousand nodes only their health is read and written: the rest of them need not be looked at.
        row = draft.get("nodes", name)
        if row is None:
            continue
        before = health_of(row)
        # Not by the reason: it has numbers that differ each time.
        same = before.known and (before.state, before.check) == (verdict.state, verdict.check)
        kept = {"last_check": _last_check(before, verdict), "drained_at": before.drained_at}
        entered[name] = verdict.model_copy(update={"at": before.at if same else now, **kept})
        changes.append(put_part(draft, row, health=entered[name]))
    return changes, entered


def _last_check(before: Health, verdict: Health) -> str | None:
    """When the node was looked at. Of the same look, each answer gives a slightly different time: the first stays."""
    if not before.last_check or not verdict.last_check:
        return verdict.last_check or before.last_check
    apart = parse(verdict.last_check) - parse(before.last_check)
    return before.last_check if abs(apart) < SAME_LOOK else verdict.last_check


def health_of(row: Mapping[str, Any]) -> Health:
    """The health of a node's row."""
    return restored(Health, row.get("health") or {}, f"node {row['name']}.health")


def put_part(draft: Draft, row: dict[str, Any], **parts: BaseModel) -> NodeChange:
    """Change some parts of a node's row, and nothing else of it."""
    after = {**row, **{name: part.model_dump(mode="json") for name, part in parts.items()}}
    return NodeChange(row["name"], "updated" if draft.put("nodes", after) else "unchanged", row, after)


def unknown_node(name: str, known: Iterable[str]) -> NotFound:
    """The error for a node that the state does not have."""
    meant = nearest(name, known)
    return NotFound(f"node {name} is not in the state", f"did you mean {meant}?" if meant else "run sync.yml first")


def _merged(before: Node | None, fact: NodeFacts, now: str) -> Node:
    """The node after a contact that gave ``fact``: what people and monitors decided about it stays."""
    fresh = fact.model_dump() | {"slots": fact.cpus if fact.slots is None else fact.slots}
    if before is None:
        return Node.model_validate(fresh | {"created_at": now, "reachability": Reachability(ok=True, at=now)})
    kept = before.model_dump(include={"admin", "health", "created_at"})
    reachability = before.reachability if before.reachability.ok else Reachability(ok=True, at=now)
    return Node.model_validate(fresh | kept | {"reachability": reachability})


def _put(draft: Draft, before: Node | None, after: Node) -> NodeChange:
    old = None if before is None else before.model_dump(mode="json")
    new = after.model_dump(mode="json")
    changed = draft.put("nodes", new)
    if old is None:
        return NodeChange(after.name, "created", None, new)
    return NodeChange(after.name, "updated" if changed else "unchanged", old, new)


def _is_over(draft: Draft, lease: Lease) -> bool:
    """Whether the lease's attempt has ended, or another has followed it."""
    job = draft.get("jobs", lease.job)
    return job is None or job["state"] in (*ENDED, "QUEUED") or job["attempts"][-1]["number"] != lease.attempt


def _refuse_shared_gpus(nodes: Iterable[Node]) -> None:
    owner: dict[str, str] = {}
    for node in nodes:
        for gpu in node.gpus:
            if owner.setdefault(gpu.uuid, node.name) != node.name:
                raise InvalidInput(
                    f"nodes {owner[gpu.uuid]} and {node.name} both have GPU {gpu.uuid}",
                    "two names for one machine? keep one of them",
                )
