# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of each lab of this machine: /run/muster-lab/NAME/lab.json, written before anything else is made."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .process import Process

LABS = Path("/run/muster-lab")


@dataclass
class Record:
    """What a lab is made of, as its lab.json keeps it."""

    name: str
    owner: Process | None
    """The process that it must not outlive; None: it stays until `down`."""
    addresses: dict[str, str]
    cgroup: list[str]
    """The lab's directory in each cgroup hierarchy."""
    rootfs: str
    disk_mib: int
    binds: dict[str, str] = field(default_factory=dict)
    """Path in the nodes -> directory of this machine, read-only."""

    @classmethod
    def read(cls, file: Path) -> Record:
        """The record in `file`."""
        document = json.loads(file.read_text())
        owner = document.pop("owner")
        return cls(owner=Process(**owner) if owner else None, **document)

    def write(self, file: Path) -> None:
        """Keep it in `file`, whole or not at all."""
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1))
        partial.replace(file)


def records() -> list[Record]:
    """The records of all labs of this machine, those half made or left behind too."""
    return [Record.read(file) for file in sorted(LABS.glob("*/lab.json"))]


@contextmanager
def lock(what: str) -> Iterator[None]:
    """Only one process of this machine at a time does that."""
    LABS.mkdir(mode=0o755, exist_ok=True)
    with open(LABS / f"{what}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
