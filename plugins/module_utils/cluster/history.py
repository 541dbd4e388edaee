# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which transactions touched a node or a job."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ..model import lease_parts
from ..store import Change, Record


def ids_of(job: str, records: Iterable[Record]) -> set[str]:
    """The ids of the jobs on record with this id or name."""
    return {
        change["key"]
        for record in records
        for change in record["changes"]
        if change["table"] == "jobs" and (change["key"] == job or _has_name(change, job))
    }


def has_node(node: str, records: Iterable[Record]) -> bool:
    """Whether there ever was a node of this name."""
    return any(_is_of_node(change, node) for record in records for change in record["changes"])


def touching(records: Iterable[Record], *, node: str | None, jobs: Collection[str] | None) -> Iterator[Record]:
    """Those of ``records`` that changed this node, or one of these jobs, or a lease of theirs.

    Of each, only the changes that did.
    """
    for record in records:
        changes = [
            change
            for change in record["changes"]
            if (node is None or _is_of_node(change, node)) and (jobs is None or _is_of_job(change, jobs))
        ]
        if changes:
            yield {**record, "changes": changes}


def _has_name(change: Change, name: str) -> bool:
    return any(
        edit["path"] == [] and bool(edit.get(side, {}).get("name") == name)
        for edit in change["edits"]
        for side in ("from", "to")
    )


def _is_of_node(change: Change, node: str) -> bool:
    if change["table"] == "leases":
        return lease_parts(change["key"])[1] == node
    return bool(change["table"] == "nodes" and change["key"] == node)


def _is_of_job(change: Change, ids: Collection[str]) -> bool:
    if change["table"] == "leases":
        return lease_parts(change["key"])[0] in ids
    return change["table"] == "jobs" and change["key"] in ids
