# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What it costs to keep the state of a fleet: our store beside stock TinyDB, SQLite and a bare flushed append.

    python -m tests.bench.store [--nodes 100,1000,10000] [--rounds 5] [--writers 8] [--seconds 3] [--place DIRECTORY]
                                [--plot FILE]

Every way has a process of its own at every size, a fresh one in each round, and each measure is taken by all ways in
turn, so that what else the machine does hurts all of them alike. SQLite has a write-ahead log that is flushed at each
commit (synchronous=FULL), and a JSON document a row. Neither our journal nor SQLite's log is folded while anything else
is measured: that has lines of its own. When writers race, it is folded whenever it is long.

The targets, at 10,000 nodes: one durable update costs at most 3 times a bare append and fsync of the same bytes and at
most 1.5 times SQLite's, and stock TinyDB's costs over 1,000 times ours; it costs under 1.5 times what it costs at 1,000
nodes. To open the state and look up one node takes at most 1/100 of stock TinyDB's time, also when the journal is as
long as it gets; with all nodes loaded at most 1/8. Writers at once get the same share: Jain's index is over 0.9. Exit
code 1 where one is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from .store_figures import COMPACTION, MEASURES, MEMORY, Figures, Key, Timed
from .store_fleet import fleet
from .store_plot import draw
from .store_process import Talker
from .store_report import races_table, table, verdicts
from .store_ways import RACERS, WAYS
from .store_writers import race
from .timing import ROOT, BenchError

RACES = 3


def measured(place: Path, sizes: list[int], rounds: int) -> Figures:
    """Everything but the races; the state is made in ``place``."""
    figures = Figures()
    for nodes in sizes:
        documents = fleet(nodes)
        for name, way in WAYS.items():
            directory = directory_of(place, nodes, name)
            directory.mkdir(parents=True)
            way(directory, nodes).fill(documents)
    os.sync()
    for nodes in sizes:
        measure_memory(figures, place, nodes)
    turns = itertools.count()
    for number in range(rounds):
        measure_round(figures, place, sizes, turns)
        print(f"round {number + 1} of {rounds} is done", file=sys.stderr, flush=True)
    return figures


def measure_memory(figures: Figures, place: Path, nodes: int) -> None:
    for title, verb in MEMORY.items():
        for name, way in WAYS.items():
            if hasattr(way, verb):
                with worker(place, nodes, name) as fresh:
                    figures.memory_mib[Key(title, nodes, name)] = fresh.ask(do="memory", verb=verb)


def measure_round(figures: Figures, place: Path, sizes: list[int], turns: Iterator[int]) -> None:
    """Each measure once round all ways and sizes, as often as it has turns. ``turns``: a new number each time."""
    turn = next(turns)
    with contextlib.ExitStack() as stack:
        workers = {(nodes, name): stack.enter_context(worker(place, nodes, name)) for nodes in sizes for name in WAYS}
        for talker in workers.values():
            talker.ask(do="settle", turn=turn)
        for measure in MEASURES:
            for _turn in range(measure.turns):
                turn = next(turns)
                for (nodes, name), talker in workers.items():
                    if not hasattr(WAYS[name], measure.verb):
                        continue
                    timed = figures.timed.setdefault(Key(measure.title, nodes, name), Timed())
                    if measure.each:
                        time_s, reckoned_from = talker.ask(do="time_each", verb=measure.verb, turn=turn)
                        timed.times_s.append(time_s)
                        timed.reckoned_from = reckoned_from or timed.reckoned_from
                    else:
                        ask = {"do": "time", "verb": measure.verb, "count": measure.count, "turn": turn}
                        timed.times_s += talker.ask(**ask)
                    if measure is COMPACTION:
                        figures.updates_a_compaction[nodes, name] = talker.ask(do="updates_a_compaction")


def race_all(figures: Figures, place: Path, nodes: int, writers: int, seconds: float) -> None:
    for _round in range(RACES):
        for name in RACERS:
            done = race(name, directory_of(place, nodes, name), nodes, writers, seconds)
            figures.races.setdefault(name, []).append(done)


def worker(place: Path, nodes: int, name: str) -> Talker:
    return Talker("tests.bench.store_worker", name, directory_of(place, nodes, name), nodes)


def directory_of(place: Path, nodes: int, name: str) -> Path:
    return place / f"{nodes}" / f"{list(WAYS).index(name)}"


def plot(figures: Figures, path: Path) -> str:
    """Draw the picture; the sentence that says where it is, or why there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(figures, path)
    except ImportError as error:
        return f"no plot: {error} (pip install matplotlib, or make bench-store)"
    return f"plot: {path}"


def main(argv: list[str] | None = None) -> int:
    """Measure and print; the exit code says whether all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="100,1000,10000", help="sizes of the fleet (default: 100,1000,10000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often all is measured (default: 5)")
    parser.add_argument("--writers", type=int, default=8, help="how many race (default: 8)")
    parser.add_argument("--seconds", type=float, default=3, help="for how long (default: 3)")
    parser.add_argument(
        "--place", type=Path, default=ROOT / "build", help="a directory on the disk to be measured (default: build)"
    )
    parser.add_argument(
        "--plot", type=Path, default=ROOT / "build/bench-store.png", help="default: build/bench-store.png"
    )
    options = parser.parse_args(argv)
    sizes = [int(size) for size in options.nodes.split(",")]
    options.place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=options.place) as place:
        figures = measured(Path(place), sizes, options.rounds)
        race_all(figures, Path(place), max(sizes), options.writers, options.seconds)
    print(f"Python {python_version()}, SQLite {sqlite3.sqlite_version}, TinyDB {version('tinydb')}", end="\n\n")
    print("\n".join(table(figures)), end="\n\n")
    print("\n".join(races_table(figures)), end="\n\n")
    print(plot(figures, options.plot), end="\n\n")
    found = verdicts(figures)
    print("\n".join(sentence for _met, sentence in found), flush=True)
    return 0 if all(met for met, _sentence in found) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(str(error))
