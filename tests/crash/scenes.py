# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Situations in which a writer can be interrupted, and what must be true afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from muster.store import DirectoryStore

from tests.crash.oracle import Contents, books, check_files, check_history, contents, history, refuse
from tests.crash.worker import NEVER, Clerk

ALWAYS = 0
"""Every transaction is folded into a new snapshot."""


@dataclass(frozen=True)
class Scene:
    """What there is before the transaction that is interrupted, and how that one is made."""

    name: str
    prepare: Callable[[Path], None]
    steps: frozenset[str]
    """Some of the steps that it is known to have."""
    compact_bytes: int = NEVER
    warm: bool = False
    """Whether its writer has written before, and keeps its files open."""
    damaged: bool = False
    """Whether there is something to mend, and to tell."""

    def clerk(self, path: Path, tell: Callable[[str], None] = refuse) -> Clerk:
        """The writer, up to the transaction that is interrupted."""
        clerk = Clerk(path, "victim", compact_bytes=self.compact_bytes, tell=self.hear(tell))
        if self.warm:
            clerk.act()
        return clerk

    def hear(self, tell: Callable[[str], None]) -> Callable[[str], None]:
        """``tell``, where there should be nothing to tell."""
        return (lambda _news: None) if self.damaged else tell


class Stage:
    """A scene, as often as it is needed."""

    def __init__(self, scene: Scene, directory: Path) -> None:
        self.scene = scene
        self._directory = directory
        self._prepared = directory / "prepared"
        self._takes = 0
        scene.prepare(self._prepared)
        self.before = self._played(lambda _clerk: None)
        self.settled = self._played(_nothing)
        self.after = self._played(Clerk.act)
        assert self.after != self.settled

    def take(self) -> Path:
        """A fresh copy of the store before the transaction."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._takes += 1
        if self._prepared.exists():
            shutil.copytree(self._prepared, self.path)
        return self.path

    def errors(self) -> Path:
        """Where a process of the newest take says why it ended."""
        return self._directory / f"take{self._takes}.errors"

    def survived(self, path: Path) -> None:
        """The writer was killed: its transaction is there wholly or not at all, and the next ones work."""
        hear = self.scene.hear(refuse)
        tables = DirectoryStore(path, tell=hear).read()
        seen = contents(tables)
        assert seen in (self.before, self.settled, self.after), "a state that never was"
        if not self.scene.damaged and path.exists():
            check_files(path)
        clerk = Clerk(path, "next", seed=2, compact_bytes=self.scene.compact_bytes, tell=hear)
        serials = [clerk.act()[1] for _turn in range(3)]
        if not self.scene.damaged:
            assert serials == [tables.serial + turn for turn in (1, 2, 3)], "what was read once is gone"
        self.well(path)

    def well(self, path: Path) -> None:
        """The store is as good as any."""
        tables = DirectoryStore(path, tell=refuse).read()
        books(tables)
        if not self.scene.damaged:
            check_history(tables, history(path))
        check_files(path)

    @property
    def path(self) -> Path:
        """The newest take."""
        return self._directory / f"take{self._takes}"

    def _played(self, act: Callable[[Clerk], object]) -> Contents:
        path = self.take()
        act(self.scene.clerk(path))
        return contents(DirectoryStore(path, tell=self.scene.hear(refuse)).read())


def _nothing(clerk: Clerk) -> None:
    with clerk.store.transaction(who="nobody", why="nothing"):
        pass


def _none(_path: Path) -> None:
    """There is no store yet."""


def _some(path: Path) -> None:
    clerk = Clerk(path, "earlier")
    for _turn in range(5):
        clerk.act()


def _just_folded(path: Path) -> None:
    _some(path)
    DirectoryStore(path, tell=refuse).compact(who="earlier")


def _often_folded(path: Path) -> None:
    clerk = Clerk(path, "earlier", compact_bytes=ALWAYS)
    for _turn in range(5):
        clerk.act()


def _torn(path: Path) -> None:
    _some(path)
    segment = _segment(path)
    with open(segment, "r+b") as file:
        file.seek(len(segment.read_bytes().rstrip(b"\0")))
        file.write(b'{"serial":6,"at":"2026-')


def _damaged(path: Path) -> None:
    _some(path)
    content = bytearray(_segment(path).read_bytes())
    content[len(content.rstrip(b"\0")) - 200] ^= 1
    _segment(path).write_bytes(content)


def _segment(path: Path) -> Path:
    return max((path / "journal").iterdir())


COMMIT = frozenset({"flock in taken", "pwrite in _write", "fdatasync in _write", "pwrite in note"})
BEGUN = COMMIT | {"open in __init__", "fchmod in _write", "fsync in sync_directory"}
REPLACED = frozenset({"open in replace_durably", "fsync in replace_durably", "replace in replace_durably"})
FOLDED = COMMIT | REPLACED | {"fsync in sync_directory", "link in keep_as", "replace in keep_as", "unlink in retire"}
FOUNDING = Scene("the first transaction of all", _none, BEGUN | REPLACED | {"mkdir in make_directory"})
GOING_ON = Scene("a transaction of one who goes on writing", _some, COMMIT, warm=True)
NEWLY_FOLDED = Scene("the first transaction after a snapshot", _just_folded, BEGUN)
GOING_ON_FOLDED = Scene("a folded transaction of one who goes on writing", _often_folded, FOLDED, ALWAYS, warm=True)
SCENES = (
    FOUNDING,
    Scene("a transaction", _some, COMMIT),
    GOING_ON,
    NEWLY_FOLDED,
    Scene("a transaction that is folded into a snapshot", _often_folded, FOLDED, ALWAYS),
    GOING_ON_FOLDED,
    Scene("a transaction after a torn one", _torn, COMMIT | {"ftruncate in cut", "fsync in cut"}),
    Scene("a transaction that mends the journal", _damaged, COMMIT | REPLACED, damaged=True),
)


def each_of(*scenes: Scene) -> pytest.MarkDecorator:
    """A test of each of these scenes."""
    return pytest.mark.parametrize("scene", scenes, ids=lambda scene: scene.name)
