# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system that promises no more than POSIX does: what may be on its disk when the power fails.

Content is durable once its file was flushed, a name once its directory was. Of all else any part may be there, in any
order: writes are lost, cut short, or leave NUL; a rename is there before the name that it took away was made. Only one
change of one directory is never there by half. After Pillai and others, "All File Systems Are Not Created Equal", 2014.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

SECTOR = 512
"""Bytes that a disk writes wholly or not at all."""
FEW = 4
"""Of the last so many changes that are not durable yet, any may be there without the others."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Write:
    """Bytes at a place of a file; behind its end, what lies between is NUL."""

    offset: int
    data: bytes

    def onto(self, content: bytes) -> bytes:
        """The content after it."""
        before = content[: self.offset].ljust(self.offset, b"\0")
        return before + self.data + content[self.offset + len(self.data) :]

    def partly(self) -> Iterator[Write]:
        """What a power failure may make of it, beside all and nothing."""
        middle, end = len(self.data) // 2, self.offset + len(self.data)
        yield Write(self.offset, self.data[:middle])
        yield Write(self.offset, bytes(len(self.data)))
        yield Write(self.offset, self.data[:middle] + bytes(len(self.data) - middle))
        for sector in {self.offset // SECTOR + 1, (end - 1) // SECTOR}:
            if 0 < (hole := sector * SECTOR - self.offset) < len(self.data):
                yield Write(self.offset, bytes(hole) + self.data[hole:])


@dataclass(frozen=True)
class Truncate:
    """A file gets this size."""

    size: int

    def onto(self, content: bytes) -> bytes:
        """The content after it."""
        return content[: self.size].ljust(self.size, b"\0")

    def partly(self) -> Iterator[Truncate]:
        """It is there or not."""
        return iter(())


@dataclass
class File:
    """A file, whatever names it has."""

    durable: bytes = b""
    pending: list[Write | Truncate] = field(default_factory=list)

    def now(self) -> bytes:
        """What a process reads."""
        return _played(self.durable, self.pending)

    def flush(self) -> None:
        """All that was written is durable."""
        self.durable, self.pending = self.now(), []

    def after_power_loss(self) -> list[bytes]:
        """What may be in it, each once."""
        found = [_played(self.durable, part) for part in _subsets(self.pending)]
        for place, change in enumerate(self.pending):
            if place >= len(self.pending) - FEW:
                found += [_played(self.durable, [*self.pending[:place], part]) for part in change.partly()]
        return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Change:
    """A change of a directory: one name goes, one is given, or both at once."""

    gone: str = ""
    name: str = ""
    node: File | Directory | None = None


@dataclass
class Directory:
    """A directory, whatever its name."""

    durable: dict[str, File | Directory] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    def now(self) -> dict[str, File | Directory]:
        """What a process sees."""
        return _changed(self.durable, self.pending)

    def flush(self) -> None:
        """All names are durable."""
        self.durable, self.pending = self.now(), []


@dataclass(frozen=True)
class Tree:
    """What is on the disk: files as path -> number of the content, so that two names of one file are told from two
    files that are alike; directories as paths."""

    contents: tuple[bytes, ...]
    files: tuple[tuple[str, int], ...]
    directories: tuple[str, ...]

    def write_to(self, place: Path) -> None:
        """Make it, in the directory ``place``, which is made as well."""
        place.mkdir()
        for directory in self.directories:
            (place / directory).mkdir(mode=0o700)
        written: dict[int, Path] = {}
        for name, number in self.files:
            path = place / name
            if number in written:
                path.hardlink_to(written[number])
            else:
                path.write_bytes(self.contents[number])
                path.chmod(0o600)
                written[number] = path


class Disk:
    """The tree below one directory, which is durable itself."""

    def __init__(self, root: Directory | None = None) -> None:
        self.root = root or Directory()

    @classmethod
    def of(cls, place: Path) -> Disk:
        """The tree as it is below ``place``, all of it durable. No file may have two names there."""
        return cls(_directory_of(place))

    def power_loss(self, chance: random.Random, mixtures: int) -> Iterator[Tree]:
        """The trees that may be left, of which some are alike.

        Each directory and each file is tried in all its ways, with none and with all of the rest durable; then come
        ``mixtures`` trees of which ``chance`` decides everything.
        """
        directories, files = self._nodes()
        names = {id(node): _subsets(node.pending) for node in directories}
        contents = {id(node): node.after_power_loss() for node in files}
        without = {id(node): list[Change]() for node in directories}, {id(node): node.durable for node in files}
        whole = {id(node): node.pending for node in directories}, {id(node): node.now() for node in files}
        for some_names, some_contents in itertools.product((without[0], whole[0]), (without[1], whole[1])):
            for node, parts in names.items():
                yield from (self._tree(some_names | {node: part}, some_contents) for part in parts)
            for node, ways in contents.items():
                yield from (self._tree(some_names, some_contents | {node: way}) for way in ways)
        for _time in range(mixtures):
            yield self._tree(
                {node: chance.choice(parts) for node, parts in names.items()},
                {node: chance.choice(ways) for node, ways in contents.items()},
            )

    def _nodes(self) -> tuple[list[Directory], list[File]]:
        """All that any tree can have."""
        directories: dict[int, Directory] = {}
        files: dict[int, File] = {}
        waiting: list[File | Directory] = [self.root]
        while waiting:
            node = waiting.pop()
            if isinstance(node, File):
                files[id(node)] = node
            elif id(node) not in directories:
                directories[id(node)] = node
                waiting += [*node.durable.values(), *(change.node for change in node.pending if change.node)]
        return list(directories.values()), list(files.values())

    def _tree(self, changes: Mapping[int, list[Change]], content: Mapping[int, bytes]) -> Tree:
        numbers: dict[int, int] = {}
        contents: list[bytes] = []
        files: list[tuple[str, int]] = []
        directories: list[str] = []
        waiting = [("", self.root)]
        while waiting:
            path, directory = waiting.pop()
            for name, node in sorted(_changed(directory.durable, changes[id(directory)]).items()):
                if isinstance(node, Directory):
                    directories.append(path + name)
                    waiting.append((f"{path}{name}/", node))
                else:
                    if id(node) not in numbers:
                        numbers[id(node)] = len(contents)
                        contents.append(content[id(node)])
                    files.append((path + name, numbers[id(node)]))
        return Tree(tuple(contents), tuple(files), tuple(directories))


def _directory_of(place: Path) -> Directory:
    return Directory(
        {path.name: _directory_of(path) if path.is_dir() else File(path.read_bytes()) for path in place.iterdir()}
    )


def _played(content: bytes, changes: list[Write | Truncate]) -> bytes:
    for change in changes:
        content = change.onto(content)
    return content


def _changed(names: Mapping[str, File | Directory], changes: list[Change]) -> dict[str, File | Directory]:
    found = dict(names)
    for change in changes:
        found.pop(change.gone, None)
        if change.node is not None:
            found[change.name] = change.node
    return found


def _subsets(pending: Sequence[Item]) -> list[list[Item]]:
    """Which of them may be durable: any of a few; of many none, one alone, or the earlier ones and any of the last."""
    last = pending[-FEW:]
    parts = [list(part) for size in range(len(last) + 1) for part in itertools.combinations(last, size)]
    earlier = list(pending[:-FEW])
    return parts + [earlier + part for part in parts] if earlier else parts
