# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The monitor's own words: lines for the journal, or for a file that does not grow without end."""

from __future__ import annotations

import contextlib
import os
import sys

from ..clock import now
from ..layout import Layout

BYTES = 1 << 20
"""A file that has grown so large becomes the old one, of which there is one."""


def path(layout: Layout) -> str:
    """Where the lines go if the monitor is no service of systemd's."""
    return os.path.join(layout.health, "monitor.log")


def say(level: int, line: str) -> None:
    """One line with its priority (syslog's: 3 error, 4 warning, 6 info), or with the time where nobody adds it."""
    head = f"<{level}>" if os.environ.get("JOURNAL_STREAM") else f"{now()} "
    with contextlib.suppress(OSError):  # the disk that it lies on is full, or gone: the report says so
        os.write(sys.stderr.fileno(), f"{head}{line}\n".encode())


def open_file(layout: Layout) -> int:
    """Return a descriptor to append to; a large file has been put aside. Raises OSError."""
    file = path(layout)
    with contextlib.suppress(FileNotFoundError):
        if os.stat(file).st_size > BYTES:
            os.replace(file, f"{file}.1")
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def keep_small(layout: Layout) -> None:
    """Begin a new file if stderr is the file and it has become large."""
    with contextlib.suppress(OSError):
        mine, there = os.fstat(2), os.stat(path(layout))
        if (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino) and mine.st_size > BYTES:
            handle = open_file(layout)
            os.dup2(handle, 2)
            os.close(handle)
