# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is full or read-only, files of somebody else: it is said clearly, and all is well when that is over."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from muster.model import StoreError
from muster.store import DirectoryStore, back_up

from tests.crash.mounts import make_read_only, small_disk
from tests.crash.oracle import books, check_files, check_history, contents, history, refuse
from tests.crash.processes import Child
from tests.crash.worker import TINY, Clerk

pytestmark = pytest.mark.usefixtures("root")

PAGE = 4096
NOBODY = 65534


def test_a_full_disk_refuses_transactions_and_takes_them_again_when_there_is_room(tmp_path: Path) -> None:
    Child(tmp_path / "errors", fill_and_free, tmp_path / "disk").done()


def test_a_disk_that_became_read_only_refuses_transactions_and_is_read(tmp_path: Path) -> None:
    Child(tmp_path / "errors", write_read_only, tmp_path / "disk").done()


def test_a_store_of_somebody_else_is_refused_by_the_owners_name(tmp_path: Path) -> None:
    with everybodys_directory() as directory:
        Child(tmp_path / "errors", write_as_nobody, directory / "store").done()


@pytest.mark.parametrize("name", ["lock", "state.json", "journal"])
def test_a_file_that_root_left_in_the_store_of_a_user_is_named_with_its_owner(name: str, tmp_path: Path) -> None:
    with everybodys_directory() as directory:
        os.chown(directory, NOBODY, NOBODY)
        Child(tmp_path / "errors", write_after_root, directory / "store", name).done()


def test_what_root_writes_into_the_store_of_a_user_stays_the_users(tmp_path: Path) -> None:
    with everybodys_directory() as directory:
        os.chown(directory, NOBODY, NOBODY)
        Child(tmp_path / "errors", write_as_root_between, directory / "store").done()


def fill_and_free(disk: Path) -> None:
    """Make transactions on a full disk, with more or less room left, so that it is full at one or another step."""
    small_disk(disk, "4m")
    news: list[str] = []
    clerk = Clerk(disk / "store", "clerk", compact_bytes=TINY, tell=news.append)
    kept = DirectoryStore(disk / "store", tell=refuse)
    for _turn in range(10):
        clerk.act()
    refusals = []
    for pages in range(12):
        fill(disk / "filler", pages)
        for _turn in range(8):
            before = contents(kept.read())
            try:
                clerk.act()
            except StoreError as error:
                refusals.append(str(error))
                assert contents(kept.read()) == before, "it failed, and has changed something"
            else:
                assert contents(kept.read()) != before
            fresh = DirectoryStore(disk / "store", tell=refuse)
            assert contents(clerk.store.read()) == contents(kept.read()) == contents(fresh.read())
            books(fresh.read())
        (disk / "filler").unlink()
        for _turn in range(4):
            clerk.act()
    assert len(refusals) > 5
    assert all("No space left on device" in said and "\n" not in said for said in refusals), set(refusals)
    assert news, "no snapshot was refused"
    assert all("could not be folded" in said and "No space left on device" in said for said in news), set(news)
    check_whole(disk / "store")


def fill(path: Path, pages: int) -> None:
    """Take all room but so many pages."""
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * PAGE):
                pass
        except OSError:
            file.truncate(max(0, file.tell() // PAGE - pages) * PAGE)


def write_read_only(disk: Path) -> None:
    """Make transactions on a disk that is read-only for a while."""
    small_disk(disk, "4m")
    for _turn in range(2):
        Clerk(disk / "store", "earlier").act()
    gc.collect()  # a disk on which a file is open for writing cannot be made read-only
    clerk, kept = Clerk(disk / "store", "clerk"), DirectoryStore(disk / "store", tell=refuse)
    before = contents(kept.read())
    make_read_only(disk)
    refused(clerk, "Read-only file system", str(disk / "store"))
    refused(Clerk(disk / "elsewhere", "clerk"), "Read-only file system", str(disk / "elsewhere"))
    for store in (kept, DirectoryStore(disk / "store", tell=refuse), clerk.store):
        assert contents(store.read()) == before
    make_read_only(disk, False)
    clerk.act()
    assert clerk.counted() == 1
    check_whole(disk / "store")


def write_as_nobody(path: Path) -> None:
    """Make transactions as somebody to whom the store does not belong."""
    clerk = Clerk(path, "clerk")
    clerk.act()
    before = contents(clerk.store.read())
    os.seteuid(NOBODY)
    refused(clerk, "Permission denied", "belongs to root")
    refused(Clerk(path, "other"), "Permission denied", "belongs to root")
    os.seteuid(0)
    assert contents(clerk.store.read()) == before
    clerk.act()
    check_whole(path)


def write_after_root(path: Path, name: str) -> None:
    """Make transactions in one's own store, of which one file belongs to root."""
    os.seteuid(NOBODY)
    clerk = Clerk(path, "clerk")
    for _turn in range(3):
        clerk.act()
    before = contents(clerk.store.read())
    file = max(path.glob(f"{name}/*"), default=path / name)
    os.seteuid(0)
    os.chown(file, 0, 0)
    os.seteuid(NOBODY)
    refused(Clerk(path, "other"), "Permission denied", "belongs to root", str(file))
    os.seteuid(0)
    os.chown(file, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    assert contents(DirectoryStore(path, tell=refuse).read()) == before
    clerk.act()
    os.seteuid(0)
    check_whole(path)


def write_as_root_between(path: Path) -> None:
    """Everything that makes files, as root; whether the store is there yet or not."""
    for _time in range(2):
        clerk = Clerk(path, "root", compact_bytes=TINY)
        for _turn in range(9):
            clerk.act()
        clerk.store.contacted({"n1": "2026-11-23T12:00:00.000000Z"})
        back_up(clerk.store)
        assert {made.stat().st_uid for made in [path, *path.rglob("*")]} == {NOBODY}
        os.seteuid(NOBODY)
        owner = Clerk(path, "owner", compact_bytes=TINY)
        for _turn in range(9):
            owner.act()
        back_up(owner.store)
        check_whole(path)
        os.seteuid(0)


def refused(clerk: Clerk, *words: str) -> None:
    """The clerk's transaction fails, and in one sentence it is said why."""
    try:
        clerk.act()
    except StoreError as error:
        said = str(error)
    else:
        raise AssertionError("it was not refused")
    assert all(word in said for word in words) and "\n" not in said, said


def check_whole(path: Path) -> None:
    """Nothing is missing in the store, and nothing is damaged."""
    tables = DirectoryStore(path, tell=refuse).read()
    books(tables)
    check_history(tables, history(path))
    check_files(path)


@contextmanager
def everybodys_directory() -> Iterator[Path]:
    """A directory that others may enter: those of pytest are root's alone."""
    with tempfile.TemporaryDirectory(prefix="muster-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)
