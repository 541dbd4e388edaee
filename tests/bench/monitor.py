# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the monitor costs the node that it watches, beside nvitop-exporter: a node with 8 pretended GPUs.

    python -m tests.bench.monitor [--minutes 10] [--place DIRECTORY]

Both run at the same time, with their first half minute unmeasured. nvitop-exporter collects as often as the monitor
does at its base rate, every 30 s, and nobody fetches what it has. The time is that of the process with all of its
children, those that have ended included. The memory is what each of them has resident, added up (RSS), and the same
with what they share counted once (PSS): for moments the monitor has some children that are copies of itself, and their
RSS says nothing of what the node has less.

The targets: under 0.5 % of one core on average, under 40 MiB of RSS most of the time (the median), and of PSS always.
Exit code 1 where one is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from muster.agent import package

from tests.fakenvml import FakeNvml

GPUS = 8
INTERVAL_S = 30
SETTLES_S = 30.0
SAMPLE_S = 0.2
FEWEST_SAMPLES = 2
MOST_OF_A_CORE = 0.005
MOST_MIB = 40.0
PEER = "nvitop-exporter"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Tree:
    """A process and its children, watched from outside."""

    name: str
    pid: int
    begun_s: float = 0.0
    rss_mib: list[float] = field(default_factory=list)
    pss_mib: list[float] = field(default_factory=list)
    used_s: float = 0.0

    def begin(self) -> None:
        """From here on."""
        self.begun_s = self.cpu_s()

    def sample(self) -> None:
        """How it is now."""
        found = [memory for pid in self.pids() if (memory := memory_of(pid))]
        self.rss_mib.append(sum(rss for rss, _pss in found))
        self.pss_mib.append(sum(pss for _rss, pss in found))
        self.used_s = self.cpu_s() - self.begun_s

    def cpu_s(self) -> float:
        """Seconds of CPU that it and its children have had. Those that have ended are in their parent's account."""
        return sum(cpu_of(pid) for pid in self.pids())

    def pids(self) -> list[int]:
        """It, and all that descends from it."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += [int(child) for child in (task / "children").read_text().split()]
        return found


def cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


def memory_of(pid: int) -> tuple[float, float] | None:
    """MiB resident, and the same with what is shared divided by who shares it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    values = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return int(values["Rss"]) / 1024, int(values["Pss"]) / 1024


@contextlib.contextmanager
def running(words: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that goes on until we are done; it may not end before."""
    with log.open("wb") as output:
        process = subprocess.Popen(words, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield process
        if process.poll() is not None:
            raise RuntimeError(f"{words} has ended:\n{log.read_text()}")
    finally:
        process.terminate()
        process.wait(60)


def measured(place: Path, seconds: float, settles_s: float = SETTLES_S, peer: bool = True) -> list[Tree]:
    """Ours and the peer, watched for so long; the peer only if it is asked for."""
    nvml = FakeNvml(place / "nvml", GPUS)
    environment = nvml.environment()
    state = place / "muster"
    (state / "bin").mkdir(parents=True)
    agent = state / "bin" / package.FILE_NAME
    agent.write_bytes(package.build())
    settings = {"node": "n1", "expect": {"gpus": GPUS}, "interval_s": INTERVAL_S}
    (state / "agent.json").write_text(json.dumps(settings))
    daemon = [sys.executable, "-I", "-S", str(agent), "--state-dir", str(state), "daemon"]
    exporter = [str(Path(sys.executable).with_name(PEER)), "--interval", str(INTERVAL_S), "--port", str(free_port())]
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(running(daemon, place / "ours.log", environment))
        trees = [Tree("muster monitor", ours.pid)]
        if peer:
            theirs = stack.enter_context(running(exporter, place / "peer.log", environment))
            trees.append(Tree(PEER, theirs.pid))
        time.sleep(settles_s)
        report = state / "monitor" / "report.json"
        while not report.exists():  # on a machine that has much else to do
            if ours.poll() is not None:
                raise RuntimeError(f"the monitor has ended: {(place / 'ours.log').read_text()}")
            time.sleep(SAMPLE_S)
        for tree in trees:
            tree.begin()
        until = time.monotonic() + seconds
        while time.monotonic() < until or len(trees[0].rss_mib) < FEWEST_SAMPLES:
            for tree in trees:
                tree.sample()
            time.sleep(SAMPLE_S)
        said = json.loads(report.read_text())
        if len(said["gpus"]) != GPUS:
            raise RuntimeError(f"the monitor does not see the GPUs: {said['reason']}")
    return trees


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--place", type=Path, help="where the pretended node is made; default: the temporary directory")
    options = parser.parse_args(arguments)
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.place) as place:
        ours, theirs = measured(Path(place), seconds)
    print(f"{'':18}{'% of a core':>12}{'RSS MiB':>9}{'most':>7}{'PSS MiB':>9}{'most':>7}")
    for tree in (ours, theirs):
        memory = "".join(f"{median(kind):9.1f}{max(kind):7.1f}" for kind in (tree.rss_mib, tree.pss_mib))
        print(f"{tree.name:18}{tree.used_s / seconds * 100:12.3f}{memory}")
    share, usual, most = ours.used_s / seconds, median(ours.rss_mib), max(ours.pss_mib)
    verdicts = [
        (share < MOST_OF_A_CORE, f"{share * 100:.3f} % of a core (under {MOST_OF_A_CORE * 100:g} %)"),
        (usual < MOST_MIB, f"{usual:.1f} MiB of RSS (under {MOST_MIB:g})"),
        (most < MOST_MIB, f"{most:.1f} MiB of PSS at most (under {MOST_MIB:g})"),
    ]
    for met, told in verdicts:
        print(f"{'met' if met else 'MISSED'}: {told}")
    cpu, size = share * seconds / theirs.used_s, usual / median(theirs.rss_mib)
    print(f"{cpu:.2f} times the CPU of {PEER}, {size:.2f} times its RSS")
    return 0 if all(met for met, _told in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
