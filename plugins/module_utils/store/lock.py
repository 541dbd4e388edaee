# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer at a time, over processes and threads. The kernel drops the lock with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import socket
import sys
import threading
import zlib
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ..model import StoreError, iso
from ..model.times import UTC
from .document import dumped, loaded
from .files import OpenFile, give_to_owner, make_directory, said_of

_WITNESS = 51
"""How many bytes in front say what was acknowledged last: serial and epoch in 20 digits each, and their CRC-32."""
_HOLDER = 512
"""How many bytes after them say who holds the lock. Since when, the file's own time says."""


class Witness(NamedTuple):
    """What was acknowledged here, as far as is known, against a journal that has lost its end: the serial of the last
    transaction, and the last fencing token that was given."""

    serial: int = 0
    epoch: int = 0


class Held:
    """A lock that is held."""

    def __init__(self, handle: int, directory: Path) -> None:
        self._handle = handle
        said = os.pread(handle, _WITNESS, 0)
        if not said:  # whoever made it may have died before it was given away
            give_to_owner(handle, directory)
        os.pwrite(handle, _me(os.getpid()), _WITNESS)
        self.witness = witness(said)

    def note(self, serial: int, epoch: int | None = None) -> None:
        """Say which transaction was acknowledged last, and the epoch that it gave, if it gave one."""
        self.witness = Witness(serial, self.witness.epoch if epoch is None else epoch)
        digits = b"%020d %020d" % self.witness
        os.pwrite(self._handle, b"%s %08x\n" % (digits, zlib.crc32(digits)), 0)


class exclusive:
    """Hold the lock file ``path``; raises :class:`StoreError` naming the holder after ``timeout_s``.

    A directory that is not there is made. The file is never renamed nor removed, so that everybody locks the same one.
    """

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def __enter__(self) -> Held:
        with said_of(self._path, "locked"):
            file = self._opened()
            try:
                if not taken(file, self._timeout_s):
                    raise StoreError(
                        f"{self._path.parent} is locked by {_holder(self._path)} and was not free within "
                        f"{self._timeout_s:g} s",
                        "wait for it to finish, or look at that process",
                    )
                held = Held(file.handle, self._path.parent)
                self._process, self._file = os.getpid(), file
                return held
            except BaseException:
                release(file)
                raise

    def _opened(self) -> OpenFile:
        try:
            return OpenFile(self._path, os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            with said_of(self._path.parent, "created"):
                make_directory(self._path.parent)
            return OpenFile(self._path, os.O_RDWR | os.O_CREAT)

    def __exit__(self, *_error: object) -> None:
        # The lock is shared with a process that was forked meanwhile: to close our end alone would not give it up, and
        # the child must not give up its parent's.
        if os.getpid() == self._process:
            release(self._file)
        del self._file


def witness(text: bytes) -> Witness:
    """What a lock file says was acknowledged; zeros if it does not say."""
    digits = text[:41]
    if text[41:50] != b" %08x" % zlib.crc32(digits):
        return Witness()
    try:
        return Witness(int(digits[:20]), int(digits[20:]))
    except ValueError:
        return Witness()


def witness_in(path: Path) -> Witness:
    """The same of a lock file, which need not be there or readable."""
    try:
        return witness(path.read_bytes())
    except OSError:
        return Witness()


def is_blank(text: bytes) -> bool:
    """Whether nothing was ever acknowledged under this lock."""
    return not text[:_WITNESS].strip(b"\0")


def taken(file: OpenFile, timeout_s: float) -> bool:
    """Lock an open file or directory, in turn with all others; False if it was not free within ``timeout_s``."""
    try:
        fcntl.flock(file.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return _waited(file, timeout_s)


def release(file: OpenFile) -> None:
    """Give the lock up, for forked processes that share it as well. What was done under it is done."""
    with contextlib.suppress(OSError):
        fcntl.flock(file.handle, fcntl.LOCK_UN)


def _waited(file: OpenFile, timeout_s: float) -> bool:
    """Wait for the lock in the kernel's queue: who asks again and again is overtaken by all who wait. Whoever has given
    up meanwhile gives it back as soon as the kernel gives it."""
    turn, given_up, agreed = threading.Event(), threading.Event(), threading.Lock()

    def wait() -> None:
        fcntl.flock(file.handle, fcntl.LOCK_EX)
        with agreed:
            turn.set()
            if given_up.is_set():
                release(file)

    threading.Thread(target=wait, name="muster-lock", daemon=True).start()
    try:
        if turn.wait(timeout_s):
            return True
    except BaseException:  # Ctrl-C
        with agreed:
            given_up.set()
        raise  # whoever called gives up what the thread has got by now
    with agreed:
        if not turn.is_set():
            given_up.set()
        return turn.is_set()


def _holder(path: Path) -> str:
    try:
        said = loaded(path.read_bytes()[_WITNESS:])
        since = iso(datetime.fromtimestamp(path.stat().st_mtime, UTC))
        return f"{said['command']} (process {said['pid']} on {said['host']}, since {since})"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"


@functools.cache
def _me(process: int) -> bytes:
    return dumped({"pid": process, "host": socket.gethostname(), "command": _command()}).ljust(_HOLDER - 1) + b"\n"


def _command() -> str:
    """What runs here: the program and its playbooks. Other words of the command line may be secrets."""
    program, *words = sys.argv or ["python"]
    playbooks = [os.path.basename(word) for word in words if word.endswith((".yml", ".yaml")) and "=" not in word]
    return " ".join([os.path.basename(program) or "python", *playbooks])[:200]
