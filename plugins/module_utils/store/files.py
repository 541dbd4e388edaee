# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there: atomic replace with fsync, and locks that the kernel drops with their process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..model import StoreError, iso, utc_now


def replace_durably(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, and put it in its place (mode 0600)."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def exclusive(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold the lock file ``path``; raises :class:`StoreError` naming the holder after ``timeout_s``.

    The file is never renamed nor removed, so that everybody locks the same one; it says who holds it.
    """
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0) as lock:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"{path.parent} is locked by {_holder(path)} and was not free within {timeout_s:g} s",
                        "wait for it to finish, or look at that process",
                    ) from None
                time.sleep(0.005)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": iso(utc_now())}
        lock.truncate(0)
        lock.seek(0)
        lock.write(json.dumps(holder).encode())
        yield


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_bytes())
        return f"process {said['pid']} on {said['host']} since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
