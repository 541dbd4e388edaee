# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests need of the machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import mounts, strace
from tests.needs import need

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def strace_there() -> None:
    """Processes can be traced."""
    need(strace.missing())


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is such a thing: a process that is killed leaves the disk's cache as it is,
    so a disk would only take time."""
    if not os.access(SHARED_MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY, prefix="muster-") as directory:
        yield Path(directory)


@pytest.fixture
def root() -> None:
    """A small disk can be mounted, and files can belong to others."""
    need(mounts.missing())
