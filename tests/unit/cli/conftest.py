# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as scripts call it, and as a process of its own; with a store of its own."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from muster.agent import package
from muster.cli import main
from muster.cluster import Cluster
from muster.gang import start_gang, stop_gang
from muster.gang.ask import Dial
from muster.model import Job
from muster.remote import AgentClient, Dialer, Target, client_for, transport_to
from muster.store import DirectoryStore

from tests.unit.remote.sshd import Sshd
from tests.unit.samples import facts, spec

Done = "subprocess.CompletedProcess[str]"
Muster = Callable[..., Done]


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """The store's directory. Nothing is there yet."""
    return tmp_path / "store"


@pytest.fixture
def environment(location: Path, tmp_path: Path) -> dict[str, str]:
    """What the command finds in its environment: this store, and a home without anything."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MUSTER_", "FORCE_", "NO_COLOR"))}
    return clean | {"MUSTER_STORE": str(location), "HOME": str(tmp_path), "COLUMNS": "60", "TERM": "xterm"}


@pytest.fixture
def muster(environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Muster:
    """Runs ``muster WORDS`` in this process; what it prints goes to no terminal. Keywords are variables of its
    environment."""

    def run(*words: str, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            for key in os.environ.keys() - environment.keys():
                patch.delenv(key)
            for key, value in {**environment, **variables}.items():
                patch.setenv(key, value)
            patch.setattr(sys, "argv", ["muster", *words])
            capsys.readouterr()
            with pytest.raises(SystemExit) as end:
                main()
            shown = capsys.readouterr()
        return subprocess.CompletedProcess(words, int(end.value.code or 0), shown.out, shown.err)

    return run


@pytest.fixture
def muster_process(environment: dict[str, str]) -> Muster:
    """Runs ``python -m muster.cli WORDS``; what it prints goes to a pipe."""

    def run(*words: str, **variables: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "muster.cli", *words],
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


RANK = """
import os, pathlib, sys, time
rank, go = os.environ["RANK"], pathlib.Path(sys.argv[1])
for number in range(5):
    print(f"line {number} of rank {rank}", flush=True)
while not go.exists():
    time.sleep(0.05)
print(f"rank {rank} says naïve \\x1b[31mbye\\x1b[0m", flush=True)
sys.stdout.write("no newline at the end")
"""


@dataclass
class Running:
    """A job whose ranks have written five lines each, and end when they are told to."""

    cluster: Cluster
    dial: Dial
    job: Job
    go: Path

    def may_end(self) -> None:
        self.go.touch()


@pytest.fixture
def launch(tmp_path: Path, location: Path, sshd: Sshd) -> Iterator[Callable[..., Running]]:
    """Launches a job on n1 (this machine, two slots) and n2 (over ssh, one slot)."""
    dialer = Dialer()
    cluster = Cluster(DirectoryStore(location), actor="alice")
    common: dict[str, Any] = {"python": sys.executable}
    targets = {
        "n1": Target("n1", transport="local", state_dir=str(tmp_path / "n1"), **common),
        "n2": Target(**sshd.fields(name="n2", state_dir=str(tmp_path / "n2"), **common)),
    }
    cluster.sync_nodes(
        [
            facts(
                name,
                slots=slots,
                address="127.0.0.1",
                interface="lo",
                state_dir=targets[name].state_dir,
                connection=targets[name].to_document(),
            )
            for name, slots in (("n1", 2), ("n2", 1))
        ]
    )

    def dial(name: str) -> AgentClient:
        target = targets[name]
        return client_for(target, transport_to(target, dialer), package.version(), package.build)

    launched: list[Running] = []

    def go(**asked: Any) -> Running:
        signal_to_end = tmp_path / f"go{len(launched)}"
        fields = {
            "command": [sys.executable, "-c", RANK, str(signal_to_end)],
            "nodes": 2,
            "user": getpass.getuser(),
            "grace_s": 1,
        }
        job, _plan = cluster.allocate(spec(**(fields | asked)))
        started = start_gang(cluster, dial, job)
        launched.append(Running(cluster, dial, started.job, signal_to_end))
        return launched[-1]

    yield go
    for one in launched:
        attempt = one.job.attempt
        assert attempt is not None
        stop_gang(dial, ["n1", "n2"], one.job.id, attempt.number, attempt.epoch, "the test is over")
    dialer.close()
