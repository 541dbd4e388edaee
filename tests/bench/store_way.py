# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every way to keep a fleet's state is measured by."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from .store_fleet import Document

WHO = "ansible:ann@desk"
STRIDE = 37
"""From one node to the next that is picked: all are, in an order that no cache foresees."""


class Way:
    """State of ``nodes`` nodes in the directory ``place``."""

    label: ClassVar[str]

    def __init__(self, place: Path, nodes: int) -> None:
        self.place = place
        self.nodes = nodes

    def fill(self, documents: list[Document]) -> None:
        """Once, before all rounds: make the state."""

    def settle(self, turn: int) -> None:
        """Before each round, unmeasured: bring it into the same condition, open and warm."""

    def updates_a_compaction(self) -> int:
        """How many there are between one compaction and the next, where there is compaction."""
        raise NotImplementedError

    def picked(self, turn: int) -> int:
        return turn * STRIDE % self.nodes


def found(document: Any) -> Any:
    """What was looked for; a way that does not find it measures nothing."""
    if document is None:
        raise LookupError("a node is not there")
    return document


def none(documents: list[Any]) -> None:
    if documents:
        raise LookupError(f"{len(documents)} nodes are there that cannot be")
