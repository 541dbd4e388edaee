# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operating system refuses is said in one sentence, the state stays as it was, and the next one works."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from muster.model import StoreError
from muster.store import DirectoryStore

from tests.unit.store.disk import content, names, put, sound

EVERY_TIME = range(1000)


def is_journal(handle: int) -> bool:
    return os.readlink(f"/proc/self/fd/{handle}").endswith(".jsonl")


@contextmanager
def refusing(
    call: str, code: int, times: range = EVERY_TIME, only: Callable[..., bool] | None = None
) -> Iterator[None]:
    """``os.<call>`` fails with ``code`` the times with these numbers; ``only``: those of such arguments."""
    real, number = getattr(os, call), -1

    def refused(*arguments: Any, **named: Any) -> Any:
        nonlocal number
        if only is None or only(*arguments):
            number += 1
            if number in times:
                raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, refused)
        yield


class TestTransactions:
    @pytest.mark.parametrize(
        ("call", "code", "said"),
        [
            ("pwrite", errno.ENOSPC, "No space left on device"),
            ("pwrite", errno.EDQUOT, "Disk quota exceeded"),
            ("fdatasync", errno.EIO, "Input/output error"),
            ("fdatasync", errno.ENOSPC, "No space left on device"),
        ],
    )
    def test_one_that_cannot_be_written_fails_and_the_next_works_once_there_is_room_again(
        self, store: DirectoryStore, call: str, code: int, said: str
    ) -> None:
        put(store, {"name": "n1"})
        before, reader = content(store.path), DirectoryStore(store.path)
        for _time in range(2):
            with (
                refusing(call, code, only=lambda handle, *_rest: is_journal(handle)),
                pytest.raises(StoreError, match=rf"\.jsonl cannot be written: {said}") as error,
            ):
                put(store, {"name": "n2"})
            assert "nothing was changed" in error.value.hint
            assert content(store.path) == before
            assert [names(view) for view in (store, reader, DirectoryStore(store.path))] == [["n1"]] * 3
        put(store, {"name": "n3"})
        assert (names(reader), reader.read().serial) == (["n1", "n3"], 2)
        assert sound(store)

    @pytest.mark.parametrize("length", [1, 40, 150])
    def test_half_a_line_is_taken_back_when_the_disk_is_full_in_the_middle_of_it(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, length: int
    ) -> None:
        put(store, {"name": "n1"})
        before, write = content(store.path), os.pwrite

        def short(handle: int, data: Any, place: int) -> int:
            return write(handle, data[:length], place)

        monkeypatch.setattr(os, "pwrite", short)
        with refusing("pwrite", errno.ENOSPC, range(1, 9)), pytest.raises(StoreError, match="No space left on device"):
            put(store, {"name": "n2", "text": "x" * 200})
        assert content(store.path) == before
        put(store, {"name": "n3"})
        monkeypatch.undo()
        assert names(DirectoryStore(store.path)) == ["n1", "n3"], "a short write is no error: it goes on"

    def test_one_that_can_neither_be_written_nor_taken_back_is_left_open_and_said(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"})
        with (
            refusing("fdatasync", errno.EIO),
            refusing("ftruncate", errno.EROFS),
            pytest.raises(StoreError, match=r"cannot be written \(Input/output error\) nor put back") as error,
        ):
            put(store, {"name": "n2"})
        assert "whether the last change is there shows when the disk is well again" in error.value.hint
        put(store, {"name": "n3"})
        assert names(DirectoryStore(store.path)) == names(store)
        assert names(store) in (["n1", "n3"], ["n1", "n2", "n3"])
        assert sound(store)

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_the_very_first_one_leaves_nothing_behind_that_hinders_the_next(
        self, store: DirectoryStore, call: str
    ) -> None:
        with refusing(call, errno.ENOSPC), pytest.raises(StoreError, match="No space left on device"):
            put(store, {"name": "n1"})
        assert names(store) == names(DirectoryStore(store.path)) == []
        put(store, {"name": "n2"})
        assert (names(DirectoryStore(store.path)), store.read().serial) == (["n2"], 1)
        assert sound(store)


class TestFolding:
    @pytest.mark.parametrize("call", ["fsync", "replace state.json.backup", "replace state.json", "fsync directory"])
    def test_a_journal_that_cannot_be_folded_is_gone_on_with_and_folded_when_there_is_room(
        self, tmp_path: Path, told: list[str], call: str
    ) -> None:
        put(DirectoryStore(tmp_path), *({"name": f"n{number}"} for number in range(20)))
        tiny = DirectoryStore(tmp_path, compact_bytes=0, tell=told.append)
        verb, _space, name = call.partition(" ")

        def meant(*arguments: Any) -> bool:
            if name == "directory":
                return os.path.samestat(os.fstat(arguments[0]), os.stat(tmp_path))
            return verb == "fsync" or Path(arguments[1]).name == name

        with refusing(verb, errno.ENOSPC, only=meant):
            for serial in (2, 3, 4):
                put(tiny, {"name": "n1", "size": serial})
                assert DirectoryStore(tmp_path).read().serial == serial
        assert "the journal could not be folded into a new snapshot" in told[0]
        assert "No space left on device" in told[0]
        assert "nothing was changed" not in told[0], "the transaction is on disk"
        put(tiny, {"name": "n1", "size": 5})
        assert not DirectoryStore(tmp_path).pending()
        assert DirectoryStore(tmp_path).read().get("nodes", "n1") == {"name": "n1", "size": 5}
        assert sound(tiny)
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

    def test_history_that_cannot_be_packed_waits(self, tmp_path: Path, told: list[str]) -> None:
        tiny = DirectoryStore(tmp_path, compact_bytes=0, tell=told.append)

        def packing(old: Path, _new: Path) -> bool:
            return old.name.endswith(".gz.new")

        with refusing("replace", errno.ENOSPC, only=packing):
            for number in range(5):
                put(tiny, {"name": "n1", "size": number})
        assert told == []
        assert not list((tmp_path / "journal").glob("*.gz"))
        put(tiny, {"name": "n1", "size": 9})
        assert len(list((tmp_path / "journal").glob("*.gz"))) == 5
        assert [record["serial"] for record in tiny.history()] == [1, 2, 3, 4, 5, 6]


class TestPlaces:
    def test_a_store_that_may_only_be_read_is_read_and_not_written(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"})
        before = content(store.path)
        reader = DirectoryStore(store.path)
        with refusing("open", errno.EROFS, only=lambda _path, flags, *_mode: flags & (os.O_WRONLY | os.O_RDWR) != 0):
            assert names(reader) == ["n1"]
            assert reader.contacts() == {}
            with pytest.raises(StoreError, match=r"lock cannot be locked: Read-only file system"):
                put(DirectoryStore(store.path), {"name": "n2"})
        assert content(store.path) == before

    def test_a_state_that_cannot_be_read_is_said(self, store: DirectoryStore) -> None:
        (store.path / "state.json").mkdir(parents=True)
        for attempt in (store.read, lambda: put(store, {"name": "n1"})):
            with pytest.raises(StoreError, match=r"state\.json cannot be read: Is a directory .*MUSTER_STORE"):
                attempt()

    def test_a_state_of_somebody_else_is_said(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"})
        (store.path / "state.json").chmod(0)
        for place in (store.path, *store.path.parents[:3]):  # pytest's own directories are its owner's
            place.chmod(place.stat().st_mode | 0o011)
        with somebody_else(), pytest.raises(StoreError, match=r"state\.json cannot be read: Permission denied"):
            DirectoryStore(store.path).read()

    def test_a_state_behind_a_link_is_not_followed(self, store: DirectoryStore, tmp_path: Path) -> None:
        put(store, {"name": "n1"})
        (store.path / "state.json").rename(tmp_path / "elsewhere")
        (store.path / "state.json").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match=r"state\.json cannot be read: Too many levels of symbolic links"):
            DirectoryStore(store.path).read()

    def test_a_lock_that_cannot_be_taken_is_said(self, store: DirectoryStore) -> None:
        (store.path / "lock").mkdir(parents=True)
        with pytest.raises(StoreError, match="lock cannot be locked: Is a directory"):
            put(store, {"name": "n1"})

    def test_a_directory_that_cannot_be_made_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="store cannot be created: Not a directory"):
            put(DirectoryStore(tmp_path / "file" / "store"), {"name": "n1"})


@contextmanager
def somebody_else() -> Iterator[None]:
    """As a user to whom nothing belongs; root may read everything."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)
