# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured of each way to keep a fleet's state, and what came out."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measure:
    """A verb of the ways that is timed; in a round ``turns`` times by every way in turn."""

    title: str
    verb: str
    count: int = 1
    """How often in a turn, at most: what takes long is done once."""
    turns: int = 1
    each: bool = False
    """Whether it is done for every node of the fleet, and the time is that of all."""


UPDATE = Measure("one durable update of one node", "update", count=40, turns=5)
BEAT_EACH = Measure("heartbeat of every node, each by itself", "beat", each=True)
BEAT_ALL = Measure("heartbeat of every node, in one transaction", "beat_all")
LOOKUP = Measure("open + look up one node", "reopened_lookup", count=10, turns=2)
LONG_LOOKUP = Measure("open + look up one node, longest journal", "long_lookup", count=5, turns=2)
LOADED_LOOKUP = Measure("open + load all + look up one node by its address", "loaded_lookup", count=3)
ALL = Measure("open + all nodes as Python objects", "all_documents")
SCAN_TEXT = Measure("scan for a text that no node has", "scan_text", count=3)
SCAN_NUMBER = Measure("scan for a number that no node has", "scan_number", count=3)
REOPENED_UPDATE = Measure("open + one durable update of one node", "reopened_update", count=5, turns=2)
COMPACTION = Measure("compaction of the longest journal", "compaction")

MEASURES = [
    LOOKUP,
    LONG_LOOKUP,
    LOADED_LOOKUP,
    ALL,
    SCAN_TEXT,
    SCAN_NUMBER,
    REOPENED_UPDATE,
    UPDATE,
    BEAT_EACH,
    BEAT_ALL,
    COMPACTION,
]
"""In the order in which they are taken: those before the updates find a short journal."""

MEMORY = {"look up one node, update one": "touch_one", "load all, compact": "touch_all"}
"""Title -> verb of what a fresh process does while its memory is measured."""


@dataclass(frozen=True)
class Key:
    """Of which measure (its title), at which size and of which way a figure is."""

    title: str
    nodes: int
    way: str


@dataclass
class Timed:
    """Every time that was taken, in seconds."""

    times_s: list[float] = field(default_factory=list)
    reckoned_from: int = 0
    """Of a heartbeat of every node: from how few, because all would take too long; 0 if it was of all."""

    @property
    def median_s(self) -> float:
        return statistics.median(self.times_s)

    @property
    def least_s(self) -> float:
        return min(self.times_s)


@dataclass(frozen=True)
class Race:
    """What several writers at once did: of each, how long every update took, in seconds."""

    seconds: float
    latencies_s: list[list[float]]

    @property
    def rate(self) -> float:
        """Updates a second, all together."""
        return sum(map(len, self.latencies_s)) / self.seconds

    @property
    def fairness(self) -> float:
        """Jain's index of how many updates each writer got: 1 if all got as many, 1/n if one got all."""
        return jain([len(of_one) for of_one in self.latencies_s])

    def quantile_s(self, share: float) -> float:
        """The latency that this share of all updates did not exceed."""
        return quantile([latency for of_one in self.latencies_s for latency in of_one], share)


@dataclass
class Figures:
    """All that was measured."""

    timed: dict[Key, Timed] = field(default_factory=dict)
    memory_mib: dict[Key, float] = field(default_factory=dict)
    updates_a_compaction: dict[tuple[int, str], int] = field(default_factory=dict)
    """Nodes and way -> how many updates there are between one compaction and the next."""
    races: dict[str, list[Race]] = field(default_factory=dict)

    @property
    def sizes(self) -> list[int]:
        return sorted({key.nodes for key in self.timed})

    def of(self, measure: Measure, nodes: int, way: str) -> Timed:
        """Raises KeyError for what was not measured."""
        return self.timed[Key(measure.title, nodes, way)]


def jain(shares: list[int]) -> float:
    """Jain's fairness index (Jain, Chiu, Hawe 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
