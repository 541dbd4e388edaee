# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks ``node`` and ``node_info``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..cluster import Cluster, NodeChange, node_documents
from ..model import InvalidInput, NodeFacts, validated
from .call import Call, Result


def change_nodes(call: Call) -> Result:
    """All nodes of the task in one transaction."""
    _refuse_twice(call.params["names"] or [fact.get("name") for fact in call.params["nodes"] or []])
    changes = _changes(call.cluster(), call.params)
    for change in changes:
        if change.action == "kept":
            call.warn(f"kept: {change.reason}")
    result: Result = {
        "changed": any(change.action in ("created", "updated", "removed") for change in changes),
        "nodes": [change.after for change in changes if change.after is not None],
        "changes": [
            {"name": change.name, "action": change.action, "reason": change.reason}
            for change in changes
            if change.action != "unchanged"
        ],
        "kept": [change.name for change in changes if change.action == "kept"],
    }
    if call.diff:
        result["diff"] = {side: node_documents(changes, side) for side in ("before", "after")}
    return result


def nodes_info(call: Call) -> Result:
    """The nodes that all given filters accept, in rank order."""
    view = call.cluster().view()
    names, statuses = call.params["names"], call.params["statuses"]
    labels = {str(key): str(value) for key, value in (call.params["labels"] or {}).items()}
    return {
        "nodes": [
            node
            for node in view.nodes
            if (names is None or node["name"] in names)
            and (statuses is None or node["status"] in statuses)
            and labels.items() <= node["labels"].items()
        ],
        "missing": [name for name in names or () if name not in {node["name"] for node in view.nodes}],
        "counts": view.counts(),
        "serial": view.serial,
    }


def _changes(cluster: Cluster, params: Mapping[str, Any]) -> list[NodeChange]:
    state, names, reason = params["state"], params["names"], params["reason"]
    why = {"why": reason} if reason else {}
    if state == "present":
        return _sync(cluster, params, why)
    if state == "absent":
        return cluster.remove_nodes(names, **why)
    if state == "resumed":
        return cluster.resume(names, **why)
    return cluster.drain(names, reason=reason, wait=state == "draining")


def _sync(cluster: Cluster, params: Mapping[str, Any], why: dict[str, Any]) -> list[NodeChange]:
    facts = [validated(NodeFacts, fact, f"nodes[{index}]") for index, fact in enumerate(params["nodes"])]
    keep = (params["keep"] or []) if params["purge"] else None
    if params["purge"] and not facts and not keep:
        raise InvalidInput("purge with neither nodes nor keep would remove every node", "use state: absent with names")
    return cluster.sync_nodes(facts, keep=keep, **why)


def _refuse_twice(names: list[Any]) -> None:
    twice = next((name for name, count in Counter(map(str, names)).items() if count > 1), None)
    if twice is not None:
        raise InvalidInput(f"node {twice} is given twice", "each node once")
