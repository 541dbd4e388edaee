# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A group of processes that can be entered, frozen and killed as one: the same path in every cgroup hierarchy.

systemd in a node needs a cgroup of its own in each hierarchy, else all nodes share one. On a host with cgroup v1, alone
or beside v2 (hybrid), that is one directory a controller; with v2 alone it is a single one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from .command import wait_until
from .process import Process

# cpuset refuses processes until it is given cpus; a node gets nothing from the other two.
UNUSED_CONTROLLERS = {"cpuset", "devices", "blkio"}


class Cgroup:
    """One group; `directories` holds its directory in each hierarchy."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = list(directories)

    @classmethod
    def below_mine(cls, name: str) -> Cgroup:
        """The group `name` below the one in which this process runs."""
        own = {}
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            own[controllers] = path.lstrip("/")
        directories = []
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, mount, kind, options, *_ = line.split()
            if kind == "cgroup2":
                directories.append(Path(mount) / own.get("", "") / name)
            elif kind == "cgroup":
                for controllers, path in own.items():
                    names = set(controllers.split(","))
                    if controllers and names <= set(options.split(",")) and not names & UNUSED_CONTROLLERS:
                        directories.append(Path(mount) / path / name)
        return cls(directories)

    def child(self, name: str) -> Cgroup:
        """The group `name` within this one."""
        return Cgroup([directory / name for directory in self.directories])

    def make(self) -> Cgroup:
        """Make it, with its parents, where it is missing."""
        for directory in self.directories:
            directory.mkdir(parents=True, exist_ok=True)
        return self

    def command(self, *argv: object) -> list[str]:
        """The command that moves itself into the group and then becomes `argv`."""
        join = " && ".join(f"echo $$ >'{directory}/cgroup.procs'" for directory in self.directories)
        return ["/bin/sh", "-c", f'{join} && exec "$@"', "sh", *(str(word) for word in argv)]

    def pids(self) -> list[int]:
        """The pids of all processes in it and in the groups below it; zombies do not count."""
        found = []
        for root, _, files in os.walk(self.directories[0]):
            if "cgroup.procs" in files:
                found += [int(pid) for pid in _read(Path(root) / "cgroup.procs").split()]
        return [pid for pid in found if Process.of(pid)]

    def weigh(self, machines: int) -> None:
        """Let it have the processor's time of so many processes, and not of one."""
        for file, weight in self._existing(("cpu.weight", f"{100 * machines}"), ("cpu.shares", f"{1024 * machines}")):
            file.write_text(weight)

    def freeze(self, frozen: bool) -> None:
        """Stop all its processes where they are, or let them go on."""
        v2, v1 = ("1", "FROZEN") if frozen else ("0", "THAWED")
        for file, word in self._existing(("cgroup.freeze", v2), ("freezer.state", v1)):
            file.write_text(word)
            return

    def kill(self, timeout_s: float = 10) -> None:
        """SIGKILL all its processes, in one act where the kernel can (Linux 5.14), and wait until they are gone."""
        self.freeze(False)

        def gone() -> bool:
            for file, word in self._existing(("cgroup.kill", "1")):
                file.write_text(word)
                return not self.pids()
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            return not self.pids()

        wait_until(gone, timeout_s, f"the end of the processes in {self.directories[0]}")

    def remove(self, timeout_s: float = 10) -> None:
        """Remove its directories and those below; its processes must be gone."""
        for directory in self.directories:
            below = [Path(root) for root, _, _ in os.walk(directory, topdown=False)]
            wait_until(lambda: all(_removed(path) for path in below), timeout_s, f"the removal of {directory}")  # noqa: B023

    def _existing(self, *files: tuple[str, str]) -> Iterator[tuple[Path, str]]:
        for name, word in files:
            for directory in self.directories:
                if (directory / name).exists():
                    yield directory / name, word


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, OSError):  # ENODEV: the group was removed while it was read
        return ""


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # EBUSY: the kernel still takes the last process out of it
        return False
    return True
