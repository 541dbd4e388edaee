# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system whose power is cut while the bank's clerks write to it: ``outage.py FILESYSTEM ROUNDS DIRECTORY``.

Run as root in mount and process namespaces of its own (:data:`ISOLATED`): whatever becomes of it, the kernel then
ends the clerks, unmounts the file system and frees the loop device. The file system is shut down without writing back
anything, its log neither, as a power failure would; mounted again, it recovers from its log.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.crash.power.judge import judge
from tests.crash.power.recording import ROOT, environment
from tests.crash.worker import Clerk

SIZES = {"ext4": 64 << 20, "xfs": 320 << 20}
"""Bytes, of a sparse file; xfs makes none smaller."""
CLERKS = ("ada", "ben", "cleo", "dan")
ERRORS = ".errors"
LONGEST_S = 0.6
"""How long the clerks write at most, once each has made a transaction."""
PATIENCE_S = 60.0
"""By then each clerk has made a transaction, however busy the machine is."""

_SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN of linux/fs.h: among others ext4 and xfs know it."""
_NOT_EVEN_THE_LOG = 2


ISOLATED = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")


def arguments(filesystem: str, rounds: int, directory: Path) -> list[str]:
    """The command that runs this file."""
    return [*ISOLATED, sys.executable, "-m", "tests.crash.power.outage", filesystem, str(rounds), str(directory)]


class Outage:
    """A store on a file system of its own, on which the power fails time and again."""

    def __init__(self, filesystem: str, directory: Path) -> None:
        self._filesystem = filesystem
        self._image = directory / "image"
        self._mounted = directory / "mounted"
        self._said = directory / "said"
        self._store = self._mounted / "store"
        self._counts: dict[str, int] = {}
        self._chance = random.Random(1)
        self.acknowledged = 0
        """How many transactions were, over all rounds."""
        self.torn = 0
        """How many power failures have left a part of a transaction."""

    def make(self) -> None:
        """The file system, and the bank, on disk."""
        self._mounted.mkdir()
        self._said.mkdir()
        with self._image.open("wb") as image:
            image.truncate(SIZES[self._filesystem])
        _run(f"mkfs.{self._filesystem}", "-q", self._image)
        with self._in_use():
            assert Clerk(self._store, "founder").act() == (0, 1)

    def round(self) -> None:
        """One power failure, and what the store makes of it."""
        with self._in_use():
            cut = self._cut()
        said = {path.name: _lines(path) for path in self._said.iterdir()}
        numbers = {name: [(at, int(text)) for at, text in lines] for name, lines in said.items() if name in CLERKS}
        acknowledged = {name: [number for at, number in lines if at < cut] for name, lines in numbers.items()}
        attempted = {name: max(number for _at, number in lines) + 1 for name, lines in numbers.items()}
        with self._in_use():
            self.torn += self._is_torn()
            found = judge(self._store)
        found.check(self._counts | {name: max(told) for name, told in acknowledged.items()}, self._counts | attempted)
        heard = [*found.news, *(text for name in said if name not in CLERKS for at, text in said[name] if at < cut)]
        assert not heard, f"nothing that was acknowledged is lost, and yet a person hears {heard}"
        self._counts = dict(found.after)
        self.acknowledged += sum(map(len, acknowledged.values()))

    def _cut(self) -> int:
        """Cut the power while the clerks write; when that was (``time.monotonic_ns``).

        What they say afterwards does not count: a flush that is under way then may be said to have succeeded.
        """
        with contextlib.ExitStack() as everybody:
            if self._chance.random() < 0.5:
                everybody.enter_context(self._flushing())
            clerks = [everybody.enter_context(self._clerk(name)) for name in CLERKS]
            give_up = time.monotonic() + PATIENCE_S
            while not all((self._said / name).stat().st_size for name in CLERKS):
                assert time.monotonic() < give_up and all(clerk.poll() is None for clerk in clerks), self._errors()
                time.sleep(0.01)
            time.sleep(self._chance.uniform(0, LONGEST_S))
            handle = os.open(self._mounted, os.O_RDONLY)
            try:
                cut = time.monotonic_ns()
                fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NOT_EVEN_THE_LOG))
            finally:
                os.close(handle)
        return cut

    @contextlib.contextmanager
    def _clerk(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        seed = self._chance.getrandbits(32)
        worker = [sys.executable, "-m", "tests.crash.power.worker", str(self._store), name, str(seed)]
        with (self._said / name).open("wb") as out, (self._said / f"{name}{ERRORS}").open("wb") as errors:
            process = subprocess.Popen(worker, cwd=ROOT, env=environment(), stdout=out, stderr=errors)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def _flushing(self) -> Iterator[None]:
        """Somebody else flushes the whole file system again and again: what no clerk has flushed is on disk as well."""
        over = threading.Event()

        def flush() -> None:
            while not over.is_set():
                subprocess.run(["sync", "--file-system", self._mounted], capture_output=True)

        thread = threading.Thread(target=flush)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _errors(self) -> str:
        return "".join(path.read_text() for path in self._said.glob(f"*{ERRORS}")) or "the clerks are silent"

    def _is_torn(self) -> bool:
        return any(
            not path.read_bytes().rstrip(b"\0").endswith(b"\n") for path in (self._store / "journal").glob("*.jsonl")
        )

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        _run("mount", "-o", "loop", self._image, self._mounted)
        yield
        gc.collect()  # a store keeps its files open as long as anybody has it
        _run("umount", self._mounted)


def _lines(path: Path) -> list[tuple[int, str]]:
    """What a worker has said: when (``time.monotonic_ns``), and what."""
    lines = (line.split(" ", 1) for line in path.read_text().splitlines())
    return [(int(at), text) for at, text in lines]


def _run(*command: object) -> None:
    ended = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ended.returncode == 0, f"{' '.join(map(str, command))}: {ended.stderr}"


def main(filesystem: str, rounds: str, directory: str) -> None:
    """So many power failures, one after the other on the same store."""
    outage = Outage(filesystem, Path(directory))
    outage.make()
    for _round in range(int(rounds)):
        outage.round()
    print(f"{filesystem}: {rounds} power failures, {outage.torn} of which left a part of a transaction;", end=" ")
    print(f"{outage.acknowledged} transactions were acknowledged, and are there")


if __name__ == "__main__":
    main(*sys.argv[1:])
