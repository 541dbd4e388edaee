# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What it costs to enter the health of many nodes: one transaction for all reports, beside the bare update of as many
documents, as the store's benchmark does it (its measure "all beat").

    python -m tests.bench.reports [--nodes 1000] [--rounds 15] [--place DIRECTORY]

Both start with the store open and read, and alternate, each on a state of its own whose journal is not folded
meanwhile. A report goes the whole way, from
the document that a node's agent answers to the acknowledged transaction: verdict, validation, drains and history.

The target, at 1,000 nodes: under 2 times the bare update. Exit code 1 where it is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from muster.cluster import Cluster
from muster.health import Checkup
from muster.store import DirectoryStore

from .store_fleet import Document, fleet, name_of
from .store_ours import NEVER, Ours

MOST = 2.0
FAULTY = 20
"""One node in so many has a finding and an alert."""
CHECKS = 37


def report(number: int, turn: int) -> Document:
    """What the agent of a node answers; each turn's differs from that of the turn before in every node."""
    bad = number % FAULTY == turn % FAULTY
    what = f"GPU {turn % 8} has {80 + turn % 20} degrees" if bad else ""
    checks = [
        {"check": f"check.{row}", "entity": "", "status": "OK", "vital": False, "reason": ""} for row in range(CHECKS)
    ]
    alerts = []
    if bad:
        checks[0] |= {"check": "gpu.throttle", "status": "WARNING", "reason": what}
        alert = {"check": "gpu.throttle", "entity": "GPU-1", "label": "GPU 1", "status": "WARNING", "reason": what}
        alerts = [alert | {"action": "", "first_seen": at(turn), "last_seen": at(turn), "count": 1}]
    return {
        "node": name_of(number),
        "source": "daemon",
        "state": "degraded" if bad else "healthy",
        "score": 80 if bad else 100,
        "reason": what,
        "action": "look at the fans" if bad else "",
        "age_s": float(turn % 30),
        "checks": checks,
        "alerts": alerts,
    }


def at(turn: int) -> str:
    return f"2026-11-01T08:{turn // 60 % 60:02d}:{turn % 60:02d}.000000Z"


def enter(cluster: Cluster, reports: list[Document], heard_at: datetime) -> None:
    """What health.yml does with the answers."""
    verdicts = {one["node"]: Checkup(one["node"], one, heard_at).health for one in reports}
    changes, _drains = cluster.judge_nodes(verdicts)
    if len(changes) != len(reports):
        raise LookupError("a node is not in the state")


def timed(act: Callable[..., None], *arguments: object) -> float:
    begun = time.perf_counter()
    act(*arguments)
    return time.perf_counter() - begun


def measured(place: Path, nodes: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each round: all reports, and the bare update."""
    bare = Ours(place / "bare", nodes)
    bare.fill(fleet(nodes))
    bare.settle(0)
    store = DirectoryStore(place / "reports", compact_bytes=NEVER)
    with store.transaction(who="bench", why="sync") as draft:
        for document in fleet(nodes):
            draft.put("nodes", document)
    cluster = Cluster(store, actor="bench")
    entered, updated = [], []
    for turn in range(rounds + 1):
        reports = [report(number, turn) for number in range(nodes)]
        heard_at = datetime.now(UTC)
        entered.append(timed(enter, cluster, reports, heard_at))
        updated.append(timed(bare.beat_all, turn + 1))
    return entered[1:], updated[1:]  # the first is with cold caches


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--place", type=Path, help="where the states are made; default: the temporary directory")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.place) as place:
        entered, updated = measured(Path(place), options.nodes, options.rounds)
    ratio = median(one / other for one, other in zip(entered, updated, strict=True))
    print(f"{options.nodes} reports in one transaction    {median(entered) * 1e3:8.1f} ms")
    print(f"{options.nodes} documents in one transaction  {median(updated) * 1e3:8.1f} ms")
    print(f"{'met' if ratio < MOST else 'MISSED'}: {ratio:.2f} times the bare update (under {MOST:g})")
    return 0 if ratio < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
