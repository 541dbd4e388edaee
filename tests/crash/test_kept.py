# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever keeps the store open, as a daemon does, follows what others do to its files when something goes wrong."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from muster.model import StoreError
from muster.store import DirectoryStore

from tests.crash.oracle import check_files, check_history, history, refuse


def put(store: DirectoryStore, name: str) -> None:
    """One transaction; names of one length make records of one length."""
    with store.transaction(who="tester", why="put") as draft:
        draft.put("nodes", {"name": name})


def names(store: DirectoryStore) -> list[str]:
    return [row["name"] for row in store.read().all("nodes")]


def test_a_transaction_that_was_read_before_the_disk_refused_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, kept = (DirectoryStore(tmp_path / "store", tell=refuse) for _ in range(2))
    put(writer, "first")
    assert names(kept) == ["first"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda _handle: seen_and_refused(kept))
        with pytest.raises(StoreError, match="Input/output error"):
            put(writer, "never")
    put(writer, "again")
    assert names(kept) == ["first", "again"]
    put(kept, "third")
    assert names(DirectoryStore(tmp_path / "store", tell=refuse)) == ["first", "again", "third"]
    check_history(kept.read(), history(tmp_path / "store"))
    check_files(tmp_path / "store")


def seen_and_refused(reader: DirectoryStore) -> None:
    """What a reader can see: the record is in the file, and not on disk yet; nor will it be."""
    reader.read()
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_journal_that_another_process_has_mended_is_followed(tmp_path: Path) -> None:
    kept, mender = (DirectoryStore(tmp_path / "store", tell=lambda _news: None) for _ in range(2))
    for name in ("first", "second", "third"):
        put(kept, name)
    journal = next((tmp_path / "store" / "journal").iterdir())
    content = bytearray(journal.read_bytes())
    content[len(content.rstrip(b"\0")) - 60] ^= 1
    journal.write_bytes(content)
    put(mender, "fourth")
    assert names(mender) == ["first", "second", "fourth"]
    assert names(kept) == names(mender)
    put(mender, "fifth")
    assert names(kept) == ["first", "second", "fourth", "fifth"]
    put(kept, "sixth")
    assert names(mender) == ["first", "second", "fourth", "fifth", "sixth"]
    check_files(tmp_path / "store")
