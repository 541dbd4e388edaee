# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of one process, followed on a :class:`Disk`."""

from __future__ import annotations

from dataclasses import dataclass

from .disk import Change, Directory, Disk, File, Truncate, Write
from .recording import Call

HARMLESS = frozenset(
    {"access", "chdir", "execve", "fadvise64", "fchmod", "fcntl", "flock", "fstat", "getcwd", "getdents64", "ioctl"}
    | {"mmap", "newfstatat", "readlink", "stat", "statx", "utimensat"}
)
"""What changes neither content nor names. Any other call that is not followed is an error: the model would be blind to
what it does."""
_HANDLES = {"copy_file_range": (0, 2), "mmap": (4,), "splice": (0, 2)}
"""Which arguments of a call are handles, if not the first."""


@dataclass
class Opened:
    """A file or directory as it was opened, and where the next write goes."""

    node: File | Directory
    append: bool
    readable: bool
    position: int = 0


class Follower:
    """Follows calls on ``disk``, whose root is the directory ``root`` of the machine on which they were recorded."""

    def __init__(self, disk: Disk, root: str) -> None:
        self._disk = disk
        self._root = root.encode()
        self._opened: dict[int, Opened] = {}

    def follow(self, call: Call) -> bool:
        """Do what the call did; whether that changed anything."""
        if self._handle(call) is None and not any(map(self._is_here, self._paths(call))):
            if call.name in ("open", "openat"):  # the number of a file that was closed is given again
                self._opened.pop(call.result, None)
            return False
        follow = getattr(self, f"_{call.name}", None)
        if follow is None or (call.name == "fcntl" and "F_DUPFD" in call.words[1]):
            assert call.name in HARMLESS, f"the model does not know {call}"
            assert not (call.name == "mmap" and "MAP_SHARED" in call.words[3]), f"the model does not know {call}"
            return False
        return bool(follow(call))

    def _is_here(self, path: bytes) -> bool:
        return path == self._root or path.startswith(self._root + b"/")

    def _paths(self, call: Call) -> tuple[bytes, ...]:
        return () if call.words[0].isdigit() else call.texts  # what is written to a file may look like a path

    def _handle(self, call: Call) -> Opened | None:
        words = (call.words[place] for place in _HANDLES.get(call.name, (0,)))
        return next((self._opened[int(word)] for word in words if word.isdigit() and int(word) in self._opened), None)

    def _place(self, path: bytes) -> tuple[Directory, str]:
        """The directory of a path, and the name in it."""
        assert self._is_here(path), f"{path!r} is relative to what the model does not know"
        *parents, name = path.removeprefix(self._root + b"/").decode().split("/")
        directory = self._disk.root
        for parent in parents:
            found = directory.now()[parent]
            assert isinstance(found, Directory)
            directory = found
        return directory, name

    def _node(self, path: bytes) -> File | Directory:
        directory, name = self._place(path)
        return directory.now()[name]

    def _openat(self, call: Call) -> bool:
        flags = call.words[2].split("|")
        if call.texts[0] == self._root:
            self._opened[call.result] = Opened(self._disk.root, append=False, readable=True)
            return False
        directory, name = self._place(call.texts[0])
        made = name not in directory.now()
        if made:
            assert "O_CREAT" in flags, f"{call} opened what is not there"
            directory.pending.append(Change(name=name, node=File()))
        node = directory.now()[name]
        self._opened[call.result] = Opened(node, "O_APPEND" in flags, "O_WRONLY" not in flags)
        if "O_TRUNC" in flags and isinstance(node, File) and node.now():
            node.pending.append(Truncate(0))
            return True
        return made

    def _close(self, call: Call) -> bool:
        del self._opened[call.number(0)]
        return False

    def _write(self, call: Call) -> bool:
        opened = self._opened[call.number(0)]
        assert isinstance(opened.node, File)
        assert opened.append or not opened.readable, "reads are not recorded: where it writes is not known"
        offset = len(opened.node.now()) if opened.append else opened.position
        opened.position = offset + call.result
        opened.node.pending.append(Write(offset, call.texts[0][: call.result]))
        return True

    def _pwrite64(self, call: Call) -> bool:
        opened = self._opened[call.number(0)]
        assert isinstance(opened.node, File)
        opened.node.pending.append(Write(call.number(3), call.texts[0][: call.result]))
        return True

    def _lseek(self, call: Call) -> bool:
        self._opened[call.number(0)].position = call.result
        return False

    def _ftruncate(self, call: Call) -> bool:
        node = self._opened[call.number(0)].node
        assert isinstance(node, File)
        node.pending.append(Truncate(call.number(1)))
        return True

    def _fsync(self, call: Call) -> bool:
        node = self._opened[call.number(0)].node
        pending = bool(node.pending)
        node.flush()
        return pending

    _fdatasync = _fsync

    def _mkdir(self, call: Call) -> bool:
        directory, name = self._place(call.texts[0])
        directory.pending.append(Change(name=name, node=Directory()))
        return True

    def _unlink(self, call: Call) -> bool:
        directory, name = self._place(call.texts[0])
        directory.pending.append(Change(gone=name))
        return True

    def _link(self, call: Call) -> bool:
        directory, name = self._place(call.texts[1])
        directory.pending.append(Change(name=name, node=self._node(call.texts[0])))
        return True

    def _rename(self, call: Call) -> bool:
        node = self._node(call.texts[0])
        (directory, old), (target, new) = map(self._place, call.texts)
        assert directory is target, f"between two directories, the model does not know {call}"
        if directory.now().get(new) is not node:  # both are one file: then rename does nothing
            directory.pending.append(Change(gone=old, name=new, node=node))
        return True

    _linkat, _mkdirat, _renameat, _unlinkat = _link, _mkdir, _rename, _unlink
