# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the store: read at any place, put in place whole or not at all, and what the operating system refuses."""

from __future__ import annotations

import gzip
import os
import pwd
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from ..model import Damaged, StoreError

IN_THE_STORE = "nothing was changed; the store is set by the option store or MUSTER_STORE"


class Read(Protocol):
    """Gives ``length`` bytes from ``offset`` on, or fewer at the end of the file."""

    @property
    def size(self) -> int: ...

    def __call__(self, offset: int, length: int) -> bytes: ...


class OpenFile:
    """A file that stays readable whatever becomes of its name; closed when nobody needs it any more.

    Not mapped into memory: a file that shrinks would end the process instead of raising an error.
    """

    def __init__(self, path: Path, flags: int = os.O_RDONLY) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self.handle = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if flags & os.O_CREAT and self.size == 0:
            give_to_owner(self.handle, path.parent)

    @property
    def identity(self) -> tuple[int, int]:
        """No other file has it while this one is open."""
        if self._identity is None:
            status = os.fstat(self.handle)
            self._identity = (status.st_dev, status.st_ino)
        return self._identity

    @property
    def size(self) -> int:
        return os.fstat(self.handle).st_size

    def __call__(self, offset: int, length: int) -> bytes:
        with said_of(self._path, "read"):
            found = os.pread(self.handle, length, offset)
            while len(found) < length and (more := os.pread(self.handle, length - len(found), offset + len(found))):
                found += more
        return found

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            os.close(self.handle)


class HeldBytes:
    """The content of a file that had to be unpacked."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def size(self) -> int:
        return len(self.content)

    def __call__(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]


def opened(path: Path) -> Read:
    """The file, unpacked if its name ends in ``.gz``."""
    return HeldBytes(content_of(path)) if path.suffix == ".gz" else OpenFile(path)


def content_of(path: Path) -> bytes:
    """All of a file, unpacked if its name ends in ``.gz``."""
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise Damaged(f"{path} is damaged: {error}") from error


def identity(path: Path) -> tuple[int, int] | None:
    """Which file has this name now (see :class:`OpenFile`); None if there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError:
        with said_of(path, "read"):
            raise
    return status.st_dev, status.st_ino


_FINE_NS, _COARSE_NS = 100_000_000, 2_000_000_000
"""How far apart two times of a file system may have to be to differ: ticks of the kernel, or two seconds. A directory
that changed less long ago may change again without showing it."""


class Names:
    """Whether the names in a directory lead where they led.

    To look at a file itself (:func:`identity`) makes Linux note the time of the next write to it to the nanosecond, and
    so in a transaction of the file system's own, which the next flush has to wait for.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: tuple[int, ...] | None = None

    def same(self) -> bool:
        """Whether nothing was put in place, renamed or removed since the last call, for certain."""
        try:
            status = os.stat(self._directory)
        except OSError:
            return False
        seen, now = self._seen, (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        if now != seen:
            coarse = status.st_mtime_ns % 1_000_000_000 == 0
            settled = status.st_mtime_ns + (_COARSE_NS if coarse else _FINE_NS) < time.time_ns()
            self._seen = now if settled else None
        return now == seen


def packing(file: BinaryIO) -> gzip.GzipFile:
    """What is written to it lands packed in ``file``: the same for the same content, whenever it is written."""
    return gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0)


def replace_durably(path: Path, write: Callable[[BinaryIO], object], before: Callable[[], None] | None = None) -> None:
    """Write a file beside ``path``, flush it to disk, and put it in its place (mode 0600).

    ``before`` is called when nothing but the last step can fail. The caller holds a lock. What a killed writer left
    beside ``path`` is written over by the next one. The name is durable once the directory is flushed as well
    (:func:`sync_directory`).
    """
    unfinished = path.with_name(f".{path.name}.new")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as file:
            os.fchmod(handle, 0o600)
            give_to_owner(handle, path.parent)
            write(file)
            file.flush()
            os.fsync(handle)
        if before:
            before()
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def keep_as(path: Path, other: Path) -> None:
    """Give the file ``path`` the name ``other`` as well, in place of what has it."""
    spare = other.with_name(f".{other.name}.new")
    spare.unlink(missing_ok=True)
    try:
        os.link(path, spare)
    except PermissionError:
        raise
    except OSError:  # a file system without second names
        with open(path, "rb") as file:
            return replace_durably(other, lambda copy: shutil.copyfileobj(file, copy))
    os.replace(spare, other)
    spare.unlink(missing_ok=True)  # rename does nothing where both are one file already


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Make a directory for the owner alone, durably; one that is there is left as it is."""
    if path.is_dir():
        return
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in reversed(missing):
        give_to_owner(place, place.parent)
        sync_directory(place.parent)


def give_to_owner(new: int | Path, directory: Path) -> None:
    """Let what root has made in somebody's directory belong to them: else one ``sudo`` locks them out.

    Links are left alone: whoever owns the directory may have put them there, to get at what they lead to.
    """
    if os.geteuid() == 0 and (owner := os.stat(directory)).st_uid != 0:
        if isinstance(new, Path):
            os.lchown(new, owner.st_uid, owner.st_gid)
        elif os.fstat(new).st_nlink == 1:
            os.fchown(new, owner.st_uid, owner.st_gid)


class said_of:
    """What the operating system refuses, as a :class:`StoreError` that names ``path``."""

    def __init__(self, path: Path, verb: str, hint: str = IN_THE_STORE) -> None:
        self._path = path
        self._verb = verb
        self._hint = hint

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise StoreError(
                f"{self._path} cannot be {self._verb}: {error.strerror or error}{_owner(self._path, error)}",
                self._hint,
            ) from error


def _owner(path: Path, error: OSError) -> str:
    """Whose it is that may not be touched, if it is somebody else's."""
    if not isinstance(error, PermissionError):
        return ""
    path = Path(os.fsdecode(error.filename)) if error.filename else path
    for place in (path, *path.parents):
        try:
            owner = place.stat().st_uid
        except OSError:
            continue
        if owner == os.geteuid():
            return ""
        try:
            return f", {place} belongs to {pwd.getpwuid(owner).pw_name}"
        except KeyError:
            return f", {place} belongs to uid {owner}"
    return ""
