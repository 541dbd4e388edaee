# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold between the documents of a whole state, which a file need not keep to."""

from __future__ import annotations

from ...model import InvalidInput
from ...store import Tables
from ..nodes import load_leases, load_nodes


def refuse_contradictions(tables: Tables, name: str) -> None:
    """Raise :class:`InvalidInput` if leases name what is not there, or if anything is given twice."""
    nodes = load_nodes(tables)
    owner: dict[str, str] = {}
    for node in nodes.values():
        for gpu in node.gpus:
            if owner.setdefault(gpu.uuid, node.name) != node.name:
                raise _fault(name, f"nodes {owner[gpu.uuid]} and {node.name} both have GPU {gpu.uuid}")
    holder: dict[tuple[str, str], str] = {}
    for lease in load_leases(tables):
        if lease.node not in nodes:
            raise _fault(name, f"lease {lease.id} is on node {lease.node}, which is not there")
        if tables.number("jobs", lease.job) is None:
            raise _fault(name, f"lease {lease.id} is of job {lease.job}, which is not there")
        for part in (*lease.gpus, *map(str, lease.slots)):
            if holder.setdefault((lease.node, part), lease.id) != lease.id:
                raise _fault(name, f"leases {holder[lease.node, part]} and {lease.id} both hold {part} of {lease.node}")


def _fault(name: str, what: str) -> InvalidInput:
    return InvalidInput(f"{name}: {what}", "nothing was imported; export the state again, or correct a copy")
