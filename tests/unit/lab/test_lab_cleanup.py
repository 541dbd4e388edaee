# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab leaves nothing behind, however it or whoever started it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab import Lab, LabError, labs, sweep
from tests.lab.cgroup import Cgroup
from tests.lab.command import wait_until
from tests.lab.inotify import BEFORE, LIMIT
from tests.lab.record import LABS

ROOT = Path(__file__).resolve().parents[3]
NAME = f"doomed-{os.getpid()}"
OWNER = """
import sys
from tests.lab import Lab, Process
Lab.up(2, sys.argv[1], owner=Process.me())
print("up", flush=True)
sys.stdin.read()
"""


def processes(words: str) -> list[int]:
    """The pids of the processes whose command line, joined by blanks, holds these words."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words in command:
            found.append(int(process.name))
    return found


def traces() -> dict[str, Sequence[object]]:
    """Everything on this machine that bears the lab's name, by kind; the lists are empty when it left nothing."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"{LABS / NAME}/" in line]
    namespaces = [path.name for path in Path("/run/netns").iterdir() if NAME in path.name]
    cgroups = [str(path) for path in Cgroup.below_mine(f"muster-lab-{NAME}").directories if path.exists()]
    files = [str(LABS / NAME)] if (LABS / NAME).exists() else []
    return {
        "mounts": mounts,
        "namespaces": namespaces,
        "cgroups": cgroups,
        "processes": processes(f"{LABS / NAME}/"),
        "files": files,
    }


@pytest.fixture
def owner(lab_of: object) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that brings up a lab and then waits. `lab_of` is asked for its reasons to skip."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, NAME], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_a_lab_whose_owner_is_killed_disappears_without_a_trace(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout and owner.stdout.readline() == "up\n"
    assert all(traces().values()), traces()
    owner.kill()
    wait_until(lambda: not any(traces().values()), 60, "its disappearance")


def test_a_lab_whose_owner_is_killed_while_it_comes_up_disappears_without_a_trace(owner: subprocess.Popen[str]) -> None:
    wait_until(lambda: bool(traces()["processes"]), 60, "boot")
    owner.kill()
    wait_until(lambda: not any(traces().values()), 60, "its disappearance")


def test_a_lab_whose_watcher_was_killed_too_is_swept_by_whoever_makes_the_next_one(
    owner: subprocess.Popen[str], lab: Lab
) -> None:
    assert owner.stdout and owner.stdout.readline() == "up\n"
    for watcher in processes(f"tests.lab sweep --after {owner.pid}"):
        os.kill(watcher, signal.SIGKILL)
    owner.kill()
    owner.wait()
    assert Lab.open(NAME).cgroup.pids()
    sweep()
    assert not any(traces().values()), traces()


def test_a_sweep_leaves_labs_alone_whose_owner_lives(lab: Lab) -> None:
    assert lab.name not in sweep()
    assert lab.ssh("n001", "hostname").stdout == "n001\n"


def test_a_lab_with_broken_nodes_is_taken_down_without_a_trace(lab_of: object) -> None:
    with Lab.up(3, NAME) as lab:
        lab.fault("freeze", "n001")
        lab.fault("fill", "n002")
        lab.fault("power-loss", "n003")
    assert not any(traces().values()), traces()


def test_a_lab_that_cannot_come_up_is_taken_down_without_a_trace(lab_of: object) -> None:
    with pytest.raises(LabError, match="n001 died while booting"):
        Lab.up(1, NAME, binds={"/nowhere": Path("/nonexistent")})
    assert not any(traces().values()), traces()


def test_a_name_in_use_is_refused_and_the_lab_that_has_it_is_left_alone(lab: Lab) -> None:
    with pytest.raises(LabError, match="is up already"):
        Lab.up(1, lab.name)
    assert lab.ssh("n001", "hostname").stdout == "n001\n"


def test_the_kernels_limits_are_put_back_when_the_last_lab_is_gone(lab_of: object) -> None:
    with Lab.up(2, NAME):
        before = int(BEFORE.read_text())
        assert int(LIMIT.read_text()) > before
    if not labs():
        assert int(LIMIT.read_text()) == before
