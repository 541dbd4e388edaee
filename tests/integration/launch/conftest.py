# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site of its own for each test: three pretended nodes on this machine, a store, and Ansible run as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from muster.store import Database

from tests.lab.command import wait_until

ROOT = Path(__file__).resolve().parents[3]
LOCAL = "inventories/local"
COMMANDS = Path(sys.executable).parent
TIMEOUT_S = 240


@dataclass(frozen=True)
class Run:
    """What a playbook run left: its exit code and all that it printed."""

    rc: int
    out: str


class Site:
    """Three nodes n1, n2, n3 with 2, 1 and 1 slots, each with a state directory of its own below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "state"
        path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MUSTER_"))
        }
        self.environment |= {"PATH": path, "MUSTER_STORE": str(self.store), "MUSTER_DEMO_DIR": str(directory)}
        self.environment |= {"ANSIBLE_NOCOLOR": "1", "COLUMNS": "200"}

    def popen(
        self,
        playbook: str,
        *words: str,
        job: dict[str, Any] | None = None,
        inventory: Path | str = LOCAL,
        start_new_session: bool = False,
        **extra: Any,
    ) -> subprocess.Popen[str]:
        """``ansible-playbook playbooks/<playbook>.yml`` over the three nodes; ``extra`` are extra variables."""
        variables = json.dumps(extra | ({"muster_job": job} if job is not None else {}))
        return subprocess.Popen(
            ["ansible-playbook", f"playbooks/{playbook}.yml", "-i", str(inventory), "-e", variables, *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=start_new_session,
        )

    def play(self, playbook: str, *words: str, **options: Any) -> Run:
        """The same, to its end."""
        process = self.popen(playbook, *words, **options)
        try:
            out, _err = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Run(process.returncode, out)

    def table(self, name: str) -> list[dict[str, Any]]:
        """A table of the state, as the store has it."""
        with Database(self.store) as db:
            return [dict(row) for row in db.table(name)]

    def jobs(self) -> dict[str, dict[str, Any]]:
        """The latest job of each name."""
        return {job["name"]: job for job in self.table("jobs")}

    def log(self, job: dict[str, Any], rank: int) -> str:
        """What a rank printed."""
        found = self.directory.glob(f"nodes/*/jobs/{job['id']}.{len(job['attempts'])}/rank-{rank}.log")
        return next(found).read_text()

    def processes(self, job: dict[str, Any]) -> list[int]:
        """The processes on this machine that carry the job's id in their environment."""
        mark = f"MUSTER_JOB_ID={job['id']}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def agents(self) -> set[int]:
        """The calls of agents of this site, and the supervisors; no monitors."""
        place = f"{self.directory}/nodes/"
        found = set()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_text().split("\0")
            except OSError:
                continue
            if "daemon" not in words and any(
                one.startswith(place) and one.endswith("muster-agent.pyz") for one in words
            ):
                found.add(int(path.parent.name))
        return found

    def wait_until_nothing_runs(self, job: dict[str, Any]) -> None:
        """Wait until the job's ranks and their supervisors have ended by themselves, and none is being started."""

        def over() -> bool:
            agents, others = self.agents(), set()
            for path in self.directory.glob("nodes/*/jobs/*/status.json"):
                if not path.parent.name.startswith(f"{job['id']}."):
                    others.add(json.loads(path.read_text())["supervisor"]["pid"])
            return agents <= others and not self.processes(job)

        wait_until(over, 90, "the end of the job's processes", 0.1)

    def content(self) -> dict[str, bytes]:
        """Every file of the site, byte for byte."""
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh site; whatever a test leaves running on it is ended."""
    made = Site(tmp_path)
    yield made
    if list(tmp_path.glob("nodes/*/jobs/*")):
        made.play("release", muster_release="all")
