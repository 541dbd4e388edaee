# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a file system itself: what it lets a power failure take, and what not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash.power.disk import SECTOR, Directory, Disk, File, Tree
from tests.crash.power.following import Follower
from tests.crash.power.recording import Call


class Process:
    """What a process does below the directory ``/disk``, in the words of its calls."""

    def __init__(self, **durable: bytes) -> None:
        self.disk = Disk(Directory({name: File(content) for name, content in durable.items()}))
        self.follower = Follower(self.disk, "/disk")
        self._handle = 2

    def open(self, name: str, flags: str = "O_WRONLY|O_CREAT") -> int:
        self._handle += 1
        path = f"/disk/{name}".rstrip("/").encode()
        self.follower.follow(Call("openat", (path,), ("AT_FDCWD", "", flags), self._handle))
        return self._handle

    def write(self, handle: int, data: bytes) -> None:
        self.follower.follow(Call("write", (data,), (str(handle), "", str(len(data))), len(data)))

    def overwrite(self, handle: int, data: bytes, offset: int) -> None:
        words = (str(handle), "", str(len(data)), str(offset))
        self.follower.follow(Call("pwrite64", (data,), words, len(data)))

    def truncate(self, handle: int, size: int) -> None:
        self.follower.follow(Call("ftruncate", (), (str(handle), str(size)), 0))

    def flush(self, handle: int) -> None:
        self.follower.follow(Call("fsync", (), (str(handle),), 0))

    def flush_names(self) -> None:
        self.flush(self.open("", "O_RDONLY|O_DIRECTORY"))

    def call(self, name: str, *paths: str) -> None:
        texts = tuple(f"/disk/{path}".encode() for path in paths)
        self.follower.follow(Call(name, texts, ("",) * len(texts), 0))

    def left(self) -> list[dict[str, bytes]]:
        """What a power failure may leave: the content of each file."""
        return [contents(tree) for tree in dict.fromkeys(self.disk.power_loss(random.Random(1), 100))]


def contents(tree: Tree) -> dict[str, bytes]:
    return {name: tree.contents[number] for name, number in tree.files}


def test_of_a_file_that_was_never_flushed_anything_or_nothing_may_be_left() -> None:
    process = Process()
    process.write(process.open("f"), b"abcd")
    assert process.left() == [{}, {"f": b""}, {"f": b"abcd"}, {"f": b"ab"}, {"f": bytes(4)}, {"f": b"ab" + bytes(2)}]


def test_a_flush_of_file_and_directory_leaves_no_choice() -> None:
    process = Process()
    handle = process.open("f")
    process.write(handle, b"abcd")
    process.flush(handle)
    assert process.left() == [{}, {"f": b"abcd"}]
    process.flush_names()
    assert process.left() == [{"f": b"abcd"}]


def test_what_is_appended_never_takes_what_was_flushed_before() -> None:
    process = Process(f=b"old,")
    handle = process.open("f", "O_WRONLY|O_APPEND")
    process.write(handle, b"new1")
    process.write(handle, b"new2")
    left = process.left()
    assert all(files["f"].startswith(b"old,") for files in left)
    assert {"f": b"old,new1"} in left
    assert {"f": b"old," + bytes(4) + b"new2"} in left, "the second may be there without the first"


def test_a_write_over_several_sectors_may_leave_a_hole_at_its_beginning() -> None:
    process = Process(f=b"old,")
    process.write(process.open("f", "O_WRONLY|O_APPEND"), b"x" * SECTOR)
    assert {"f": b"old," + bytes(SECTOR - 4) + b"xxxx"} in process.left()


def test_a_file_that_is_put_in_place_unflushed_may_be_empty_there() -> None:
    process = Process(state=b"old")
    process.write(process.open("new"), b"new")
    process.call("rename", "new", "state")
    assert {"state": b""} in process.left()
    assert {"state": b"old"} in process.left()
    process.flush_names()
    assert {"state": b"old"} not in process.left()


def test_a_rename_is_there_wholly_or_not_at_all() -> None:
    process = Process(state=b"old", new=b"new")
    process.call("rename", "new", "state")
    assert process.left() == [{"new": b"new", "state": b"old"}, {"state": b"new"}]


def test_changes_of_names_may_be_there_in_another_order() -> None:
    process = Process(a=b"a", b=b"b")
    process.call("unlink", "a")
    process.call("unlink", "b")
    assert [sorted(files) for files in process.left()] == [["a", "b"], ["b"], ["a"], []]


def test_two_names_of_one_file_stay_one_file(tmp_path: Path) -> None:
    process = Process(state=b"old")
    process.call("link", "state", "backup")
    process.flush_names()
    process.overwrite(process.open("state", "O_RDWR"), b"O", 0)
    assert all(files["state"] == files["backup"] for files in process.left())
    (tree, *_rest) = process.disk.power_loss(random.Random(1), 0)
    tree.write_to(tmp_path / "left")
    assert (tmp_path / "left" / "state").samefile(tmp_path / "left" / "backup")
    process.call("rename", "state", "backup")
    assert all(files.keys() == {"state", "backup"} for files in process.left()), "POSIX: this rename does nothing"


def test_what_is_cut_off_may_be_there_again() -> None:
    process = Process(f=b"abcd")
    process.truncate(process.open("f", "O_WRONLY"), 2)
    assert process.left() == [{"f": b"abcd"}, {"f": b"ab"}]


@pytest.mark.parametrize(
    "call",
    [
        Call("fallocate", (), ("3", "0", "0", "4096"), 0),
        Call("copy_file_range", (), ("9", "NULL", "3", "NULL", "4096", "0"), 4096),
        Call("mmap", (), ("NULL", "4096", "PROT_WRITE", "MAP_SHARED", "3", "0"), 0),
        Call("symlink", (b"/disk/f", b"/disk/g"), ("", ""), 0),
    ],
    ids=lambda call: call.name,
)
def test_a_call_that_the_model_does_not_know_is_an_error(call: Call) -> None:
    process = Process(f=b"abcd")
    assert process.open("f", "O_RDWR") == 3
    with pytest.raises(AssertionError, match="does not know"):
        process.follower.follow(call)
