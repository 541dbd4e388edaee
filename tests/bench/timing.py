# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one command costs the machine that it is typed on."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab import Lab

ROOT = Path(__file__).resolve().parent.parent.parent


class BenchError(Exception):
    """A command that is measured failed; the message is what it printed."""


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time, and of CPU of the command and all its children (the nodes' own not included)."""

    wall_s: float
    cpu_s: float
    began_at: float
    """Wall clock, Unix time."""


def cost_of(lab: Lab, argv: Iterable[object], environment: Mapping[str, object], cwd: Path = ROOT) -> Cost:
    """Run a command in the lab to its end. Raises BenchError if it fails."""
    began_at, begun = time.time(), time.monotonic()
    process = lab.popen(
        argv,
        env={**lab.environment(), **{name: str(value) for name, value in environment.items()}},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = process.stdout.read() if process.stdout else ""
    # wait4 counts the descendants that the command itself waited for: not what it left behind, such as ssh's masters.
    _pid, status, used = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchError(f"{' '.join(map(str, argv))} ended with exit code {process.returncode}:\n{output}")
    return Cost(wall_s, used.ru_utime + used.ru_stime, began_at)
