# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Muster as a user runs it on real nodes, with a store of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muster.store import Database

from tests.lab.command import wait_until
from tests.lab.lab import Lab

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = Path(sys.executable).parent
STATE_DIR = "var/lib/muster"
TIMEOUT_S = 180
CONNECT_S = 15
SETTLED_S = 15
"""So long systemd may take to take note of a supervisor that has written its last record."""
UNIT = "/etc/systemd/system/muster-monitor.service"
FORGET_THE_MONITOR = f"""
test ! -e {UNIT} || systemctl disable --now muster-monitor
rm -rf {UNIT} /etc/muster /run/muster /var/lib/muster/health /var/lib/muster/kmsg
systemctl daemon-reload
systemctl reset-failed 'muster-*'
"""


@dataclass(frozen=True)
class Run:
    """What a command left: its exit code and all that it printed."""

    rc: int
    out: str

    @property
    def said(self) -> str:
        """The same as one line: Ansible wraps its messages."""
        return " ".join(self.out.split())


class Fleet:
    """Real nodes n001 to n004, with 2, 1, 1 and 1 slots; the store and inventories are in ``directory``."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.store = directory / "state"
        own = ("ANSIBLE_", "MUSTER_")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        self.environment |= {
            "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
            "MUSTER_STORE": str(self.store),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_TIMEOUT": str(CONNECT_S),
            # All labs have the same addresses: a connection kept open leads into the lab in which it was made.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(lab.directory / "cp"),
            "COLUMNS": "200",
        }

    def inventory(self, count: int = 3, **options: Any) -> Path:
        """An inventory of the first ``count`` nodes; ``options``: of tests.lab.client.write_inventory."""
        options.setdefault("nodes", list(self.lab.nodes)[:count])
        return self.lab.inventory(slots=[2, 1, 1, 1], **options)

    def play(
        self, playbook: str, *words: str, job: dict[str, Any] | None = None, on: Path | int = 3, **extra: Any
    ) -> Run:
        """``ansible-playbook playbooks/<playbook>.yml`` over the nodes ``on``: so many, or those of an inventory."""
        inventory = self.inventory(on) if isinstance(on, int) else on
        variables = extra | ({"muster_job": job} if job is not None else {})
        return self.run(*_playbook(playbook, inventory, variables), *words)

    def begin(self, playbook: str, *, job: dict[str, Any], on: int = 3) -> subprocess.Popen[str]:
        """The same, as a process that goes on."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        words = _playbook(playbook, self.inventory(on), {"muster_job": job})
        return self.lab.popen(words, cwd=ROOT, env=self.environment, **streams)

    def run(self, *words: object) -> Run:
        """A command on the controller, to its end."""
        streams = {"capture_output": False, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = self.lab.run(words, cwd=ROOT, env=self.environment, timeout=TIMEOUT_S, **streams)
        return Run(done.returncode, done.stdout)

    def table(self, name: str) -> list[dict[str, Any]]:
        """A table of the state, as the store has it."""
        with Database(self.store) as db:
            return [dict(row) for row in db.table(name)]

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes of the state by name."""
        return {node["name"]: node for node in self.table("nodes")}

    def statuses(self) -> dict[str, str]:
        """What ``muster nodes`` calls the state of each node."""
        shown = self.run(sys.executable, "-m", "muster.cli", "nodes", "--json")
        assert shown.rc == 0, shown.out
        return {node["name"]: node["status"] for node in json.loads(shown.out)}

    def job(self, name: str) -> dict[str, Any]:
        """The latest job of that name."""
        return next(job for job in reversed(self.table("jobs")) if job["name"] == name)

    def logs(self, job: dict[str, Any]) -> dict[int, str]:
        """What each rank printed, by rank, from the nodes that the plan gave them."""
        attempt = job["attempts"][-1]
        return {
            rank: (self.directory_of(job, part["node"]) / f"rank-{rank}.log").read_text()
            for part in attempt["plan"]["nodes"]
            for rank in part["ranks"]
            if (self.directory_of(job, part["node"]) / f"rank-{rank}.log").exists()
        }

    def directory_of(self, job: dict[str, Any], node: str) -> Path:
        """The directory of the job's latest attempt on a node."""
        return self.lab[node].root / STATE_DIR / "jobs" / f"{job['id']}.{job['attempts'][-1]['number']}"

    def job_directories(self) -> list[str]:
        """All directories of jobs, on all nodes."""
        return [str(path) for node in self.lab.nodes.values() for path in (node.root / STATE_DIR / "jobs").glob("*")]

    def record(self, job: dict[str, Any], node: str) -> dict[str, Any]:
        """The status that the supervisor of the job's latest attempt keeps on a node."""
        status: dict[str, Any] = json.loads((self.directory_of(job, node) / "status.json").read_text())
        return status

    def remains(self, job: dict[str, Any]) -> list[str]:
        """What is left of a job that is over: its processes and supervisors on all nodes, and its leases."""
        return self.settled(job, self.lab.nodes) + [str(lease) for lease in self.table("leases")]

    def settled(self, job: dict[str, Any], nodes: Iterable[str]) -> list[str]:
        """What of a job that is over lives on these nodes. No rank may by now; units are waited for."""
        deadline = time.monotonic() + SETTLED_S
        while left := self.processes(job, nodes):
            if any(line.startswith("/proc/") for line in left) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        return left

    def wait_for_logs(self, job: dict[str, Any], ranks: int) -> dict[int, str]:
        """The logs, once so many ranks have printed something."""
        wait_until(lambda: sum(map(bool, self.logs(job).values())) == ranks, TIMEOUT_S, "every rank prints", 0.2)
        return self.logs(job)

    def processes(self, job: dict[str, Any], nodes: Iterable[str]) -> list[str]:
        """What of a job lives on these nodes: its ranks (/proc/...) and supervisors (units)."""
        look = f"grep -slz '^MUSTER_JOB_ID={job['id']}$' /proc/[0-9]*/environ; "
        look += "systemctl list-units -q 'muster-*' | grep -v ' muster-monitor.service '"
        return [line for node in nodes for line in self.shell(node, look).splitlines()]

    def forget_monitor(self, node: str) -> None:
        """Leave no monitor on a node, and nothing of what it knew."""
        self.shell(node, FORGET_THE_MONITOR)

    def shell(self, node: str, script: str) -> str:
        """What a shell script prints in a node, without ssh."""
        done = self.lab.execute(node, "sh", "-c", script)
        return str(done.stdout)


def _playbook(name: str, inventory: Path, variables: dict[str, Any]) -> list[object]:
    return ["ansible-playbook", f"playbooks/{name}.yml", "-i", inventory, "-e", json.dumps(variables)]
