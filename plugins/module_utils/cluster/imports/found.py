# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file holds, in Muster's words: the documents that go into the state, and what is to be remarked on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...model import natural

Document = dict[str, Any]

KEPT = "imported"
"""The table for what a file says and Muster's own documents have no room for, and the field for it in those of other
tables. A node or a job is written anew from its model with each change, and would lose it."""

IDENTITY: dict[str, tuple[str, ...]] = {
    KEPT: ("source", "kind", "name"),
    "virtual_clusters": ("name",),
    "virtual_machines": ("cluster", "name"),
    "networks": ("cluster", "name"),
    "volumes": ("cluster", "name"),
    "tasks": ("task_id",),
}
"""The fields that name a document in the tables that imports fill, beside Muster's own tables."""


@dataclass(frozen=True)
class Item:
    """A document for a table. ``beside``: a document of the table ``imported`` that goes with a node or a job.

    ``number``: the one that it had where it was exported.
    """

    table: str
    document: Document
    beside: Document | None = None
    number: int | None = None


@dataclass
class Imported:
    """What was found in one file. ``seen``: when nodes were last seen (name -> ISO 8601), which is no part of the
    state. ``whole``: it is a whole state, whose documents refer to each other."""

    name: str
    items: list[Item] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    whole: bool = False

    def remark(self, names: Iterable[str], text: str) -> None:
        """Remark ``text``, in which ``{}`` stands for ``names``, if there are any."""
        if found := list(names):
            self.remarks.append(text.format(listed(found)))


def listed(names: Iterable[str], most: int = 5) -> str:
    """``gpu1, gpu2 and 3 more``."""
    ordered = sorted(names, key=natural)
    more = len(ordered) - most
    return ", ".join(ordered) if more <= 0 else f"{', '.join(ordered[:most])} and {more} more"
