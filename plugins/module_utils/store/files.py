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
import time
from collections.abc import Iterator
from pathlib import Path

from ..model import StoreError, iso, utc_now


def replace_durably(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, and put it in its place (mode 0600).

    The caller holds a lock. What a killed writer left beside ``path`` is written over by the next one.
    """
    unfinished = path.with_name(f".{path.name}.new")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        os.fchmod(handle, 0o600)
        file.write(content)
        file.flush()
        os.fsync(handle)
    os.replace(unfinished, path)
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
    with said_of(path, "locked"):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with said_of(path, "locked"):
            _wait_for(lock, path, timeout_s)
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": iso(utc_now())}
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps(holder).encode(), 0)
        yield
    finally:
        # A child that another thread forked meanwhile shares the lock: to close our end alone would not give it up.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


@contextlib.contextmanager
def said_of(path: Path, verb: str) -> Iterator[None]:
    """What the operating system refuses, as a :class:`StoreError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be {verb}: {error.strerror or error}",
            "the store is set by the option store or MUSTER_STORE",
        ) from error


def _wait_for(lock: int, path: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"{path.parent} is locked by {_holder(path)} and was not free within {timeout_s:g} s",
                    "wait for it to finish, or look at that process",
                ) from None
            time.sleep(0.005)


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_bytes())
        return f"process {said['pid']} on {said['host']} since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
