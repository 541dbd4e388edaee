# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One way at one size in a process of its own, which does what its standard input says, a JSON line a command.

python -m tests.bench.store_worker WAY PLACE NODES

{"do": "settle", "turn": 1}                                      bring the state into the condition of all rounds
{"do": "time", "verb": "update", "count": 40, "turn": 7}         answers with seconds, a number each time
{"do": "time_each", "verb": "beat", "turn": 8}                   the same for every node of the fleet
{"do": "memory", "verb": "touch_one"}                            answers with MiB
{"do": "updates_a_compaction"}
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .store_way import Way
from .store_ways import WAYS

LONG_S = 0.1
"""A turn that has taken so long is over, however often it was to be repeated."""
TOO_LONG_S = 10.0
"""What would take all nodes longer is done for some, and reckoned for all."""
FEW = 5
"""For at least so many, and for as long as a turn may take."""
TURNS = 1000
"""How many changes a command may make, each with a number of its own."""


def answer(way: Way, command: dict[str, Any]) -> Any:
    match command["do"]:
        case "settle":
            return way.settle(command["turn"] * TURNS)
        case "time":
            return times_s(way, command["verb"], command["count"], command["turn"] * TURNS)
        case "time_each":
            return time_of_each_s(getattr(way, command["verb"]), way.nodes, command["turn"] * TURNS)
        case "memory":
            return memory_mib(way, command["verb"])
        case "updates_a_compaction":
            return way.updates_a_compaction()
        case unknown:
            raise ValueError(f"{unknown} is no command")


def times_s(way: Way, verb: str, count: int, turn: int) -> list[float]:
    """How long the way's verb takes, again and again; what it prepares for itself is not counted."""
    act, prepare = getattr(way, verb), getattr(way, f"before_{verb}", None)
    found: list[float] = []
    while len(found) < count and sum(found) < LONG_S:
        if prepare:
            prepare(turn + len(found))
        begun = time.perf_counter()
        act(turn + len(found))
        found.append(time.perf_counter() - begun)
    return found


def time_of_each_s(act: Callable[[int, int], None], nodes: int, turn: int) -> tuple[float, int]:
    """How long it takes for all nodes, one after the other, and from how few that was reckoned (0: it was done)."""
    begun = time.perf_counter()
    took_s = 0.0
    for done in range(1, nodes + 1):
        act(done - 1, turn)
        took_s = time.perf_counter() - begun
        if FEW <= done < nodes and took_s > LONG_S and took_s * nodes / done > TOO_LONG_S:
            return took_s * nodes / done, done
    return took_s, 0


def memory_mib(way: Way, verb: str) -> float:
    """By how much the verb raises the process's peak above what it has now."""
    prepare = getattr(way, f"before_{verb}", None)
    if prepare:
        prepare()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
    before = _peak_kib()
    getattr(way, verb)()
    return (_peak_kib() - before) / 1024


def _peak_kib() -> int:
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def main() -> None:
    name, place, nodes = sys.argv[1:]
    way = WAYS[name](Path(place), int(nodes))
    for line in sys.stdin:
        print(json.dumps(answer(way, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
