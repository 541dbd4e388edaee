# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long launch.yml takes, from the command line to RUNNING on all nodes, beside other ways to reach the same nodes.

    python -m tests.bench.launch [--nodes 4,16] [--rounds 5] [--no-naive]

Every way is taken in turn, round by round, so that what else the machine does hurts all of them alike.

The target: up to RUNNING, launch.yml takes no longer than `ansible all -m ping` with forks for all nodes and
pipelining, and less than a fifth of the naive playbook, run as Ansible does unless told otherwise (the table also shows
it with forks and pipelining). Exit code 1 where it is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from muster.store import DirectoryStore

from tests.lab import Lab, Process

from .timing import ROOT, BenchError, Cost, cost_of

HERE = Path(__file__).resolve().parent
TUNED = """\
[defaults]
forks = {forks}
[ssh_connection]
pipelining = true
"""
LAUNCH, RUNNING = "launch.yml", "launch.yml, RUNNING"
PING, NAIVE = "ansible ping, cold", "naive playbook"
MOST_OF_PING = 1.0
MOST_OF_NAIVE = 0.2


class Bench:
    """The ways to reach a lab's nodes, each a method that gives what one round costs."""

    def __init__(self, lab: Lab, place: Path, nodes: int) -> None:
        self.lab = lab
        self.nodes = [*lab.nodes][:nodes]
        self.place = place
        self.sockets = place / "sockets"
        self.inventory = lab.inventory(nodes=self.nodes, ansible_control_path_dir=str(self.sockets))
        self.tuned, self.untuned = place / "tuned.cfg", place / "untuned.cfg"
        self.tuned.write_text(TUNED.format(forks=nodes))
        self.untuned.touch()
        self.job = place / "job.json"
        self.job.write_text(json.dumps({"muster_job": {"name": "bench", "command": ["sleep", "1000"], "nodes": nodes}}))
        self.store = place / "state"

    def prepare(self) -> None:
        """Nodes provisioned and known, as they are at the second launch of their lives."""
        self._muster("site")
        self._close_masters()

    def launch(self) -> dict[str, Cost]:
        """launch.yml to its end, and to the moment when all nodes run and the state says so."""
        cost = self._muster("launch", "-e", f"@{self.job}", "-e", "muster_wait=false")
        jobs = DirectoryStore(self.store).read().all("jobs")
        running = max(job["started_at"] for job in jobs if job["started_at"])
        reached_s = datetime.fromisoformat(running).timestamp() - cost.began_at
        self._muster("release", "-e", "muster_release=all")
        return {LAUNCH: cost, RUNNING: Cost(reached_s, cost.cpu_s, cost.began_at)}

    def ping(self) -> dict[str, Cost]:
        """Ansible's own floor: one module that does nothing, cold, and then over the connections left open."""
        self._close_masters()
        ping = ["ansible", "-i", self.inventory, "all", "-m", "ping"]
        cold, warm = (self._ansible(self.tuned, *ping) for _ in range(2))
        if self._close_masters() != len(self.nodes):
            raise BenchError("ping left no connection to each node behind: what is called cold was not")
        return {PING: cold, "ansible ping, warm": warm}

    def naive(self) -> dict[str, Cost]:
        """The playbook that people write, as it runs without an ansible.cfg, and with a good one."""
        return {NAIVE: self._naive(self.untuned), f"{NAIVE}, tuned": self._naive(self.tuned)}

    def _naive(self, config: Path) -> Cost:
        cost = self._ansible(config, "ansible-playbook", "-i", self.inventory, HERE / "naive.yml")
        for node in self.nodes:
            self.lab.execute(node, "systemctl", "stop", "naive-job", check=True)
            self.lab.execute(node, "rm", "/run/naive.running", "/run/naive.sh", "/run/naive.env", check=True)
        self._close_masters()
        return cost

    def pdsh(self) -> dict[str, Cost]:
        """pdsh over ssh."""
        words = ["pdsh", "-R", "ssh", "-f", len(self.nodes), "-w", ",".join(self.nodes), "true"]
        return {"pdsh": cost_of(self.lab, words, {"PDSH_SSH_ARGS_APPEND": f"-F {self.lab.ssh_config}"})}

    def ssh(self) -> dict[str, Cost]:
        """One ssh a node, all at once, cold, with its default key exchange."""
        each = f"for node in {' '.join(self.nodes)}; do ssh -F {self.lab.ssh_config} $node true & done; wait"
        return {"parallel ssh": cost_of(self.lab, ["sh", "-c", each], {})}

    def _muster(self, playbook: str, *words: object) -> Cost:
        command = ["ansible-playbook", "-i", self.inventory, f"playbooks/{playbook}.yml", *words]
        return self._ansible(ROOT / "ansible.cfg", *command)

    def _ansible(self, config: Path, *argv: object) -> Cost:
        return cost_of(self.lab, argv, {"ANSIBLE_CONFIG": config, "MUSTER_STORE": self.store})

    def _close_masters(self) -> int:
        """Close the connections that Ansible's ssh has left open; how many there were."""
        sockets = list(self.sockets.glob("*")) if self.sockets.exists() else []
        for socket in sockets:
            subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"], capture_output=True, check=True)
        return len(sockets)


def measure(bench: Bench, rounds: int, ways: Iterable[Callable[[], dict[str, Cost]]]) -> dict[str, list[Cost]]:
    """What each way cost in each round. One round before the first is not counted: files are read, caches filled."""
    costs: dict[str, list[Cost]] = {}
    bench.prepare()
    for number in range(rounds + 1):
        for way in ways:
            for name, cost in way().items():
                if number:
                    costs.setdefault(name, []).append(cost)
    return costs


def table(nodes: int, costs: dict[str, list[Cost]]) -> list[str]:
    """The medians, and each as a multiple of the cold ping."""
    walls = {name: statistics.median(cost.wall_s for cost in taken) for name, taken in costs.items()}
    lines = [f"{nodes} nodes{'':<20} {'wall s':>7} {'(least-most)':>14} {'CPU s':>6} {'/ping':>6}"]
    for name, taken in costs.items():
        times = [cost.wall_s for cost in taken]
        cpu_s = statistics.median(cost.cpu_s for cost in taken)
        spread = f"({min(times):.2f}-{max(times):.2f})"
        ratio = walls[name] / walls[PING]
        lines.append(f"  {name:<25} {walls[name]:7.2f} {spread:>14} {cpu_s:6.2f} {ratio:6.2f}")
    return lines


def verdicts(nodes: int, costs: dict[str, list[Cost]]) -> list[tuple[bool, str]]:
    """Whether each target is met, and the sentence that says so."""
    walls = {name: statistics.median(cost.wall_s for cost in taken) for name, taken in costs.items()}
    found = []
    for other, most in ((PING, MOST_OF_PING), (NAIVE, MOST_OF_NAIVE)):
        if other in walls:
            ratio = walls[RUNNING] / walls[other]
            met = ratio <= most
            sentence = f"{nodes} nodes: {RUNNING} / {other} = {ratio:.2f} (target: at most {most:g})"
            found.append((met, f"{'met   ' if met else 'MISSED'}  {sentence}"))
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure and print; the exit code says whether all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="4,16", help="how many nodes, each number in turn (default: 4,16)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is taken (default: 5)")
    parser.add_argument("--no-naive", action="store_true", help="leave out the naive playbook, which takes longest")
    options = parser.parse_args(argv)
    sizes = [int(size) for size in options.nodes.split(",")]
    found = []
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as place:
        for size in sizes:
            with Lab.up(size, name=f"bench-{os.getpid()}", owner=Process.me()) as lab:
                work = Path(place) / str(size)
                work.mkdir()
                bench = Bench(lab, work, size)
                ways = [bench.launch, bench.ping, bench.pdsh, bench.ssh, *([] if options.no_naive else [bench.naive])]
                costs = measure(bench, options.rounds, ways)
            print("\n".join(table(size, costs)), end="\n\n", flush=True)
            found += verdicts(size, costs)
    print("\n".join(sentence for _met, sentence in found))
    return 0 if all(met for met, _sentence in found) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(str(error))
