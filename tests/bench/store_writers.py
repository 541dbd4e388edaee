# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several processes that change the same state at once, each its own node, as fast as they can.

    python -m tests.bench.store_writers WAY PLACE NODES WRITER SECONDS

is one of them: it says that it is ready, waits for a line, and answers with how long each of its updates took and with
the turn of the last.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

from .store_figures import Race
from .store_fleet import at
from .store_process import Talker
from .store_ways import RACERS
from .timing import BenchError


def race(way: str, place: Path, nodes: int, writers: int, seconds: float) -> Race:
    """Let so many writers work at once for so long."""
    with contextlib.ExitStack() as stack:
        talkers = [
            stack.enter_context(Talker("tests.bench.store_writers", way, place, nodes, writer, seconds))
            for writer in range(writers)
        ]
        for talker in talkers:
            talker.hear()
        for talker in talkers:
            talker.say("go")
        done = [talker.hear() for talker in talkers]
    kept = RACERS[way](place, nodes)
    for writer, (_latencies_s, turn) in enumerate(done):
        if kept.lookup(writer)["health"]["at"] != at(turn):
            raise BenchError(f"{way} lost an update that it had acknowledged to writer {writer}")
    return Race(seconds, [latencies_s for latencies_s, _turn in done])


def main() -> None:
    name, place, nodes, writer, seconds = sys.argv[1:]
    update = RACERS[name](Path(place), int(nodes)).race(int(writer))
    turn = time.time_ns() // 10**6  # none of an earlier race
    update(turn)
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    latencies_s = []
    now = begun = time.perf_counter()
    while now < begun + float(seconds):
        turn += 1
        update(turn)
        before, now = now, time.perf_counter()
        latencies_s.append(now - before)
    print(json.dumps([latencies_s, turn]), flush=True)


if __name__ == "__main__":
    main()
