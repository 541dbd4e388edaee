# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What root makes in somebody's directory belongs to them, whatever goes wrong; what lay there is nobody's gift."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from muster.model import StoreError
from muster.store import DirectoryStore, back_up, verify

from tests.needs import needs

from .disk import forked, names, put

SOMEBODY = 61234

pytestmark = needs(os.geteuid() == 0, "only root can make files for others")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory of somebody's, who can reach it."""
    found = tmp_path / "home"
    found.mkdir()
    os.chown(found, SOMEBODY, SOMEBODY)
    above = [place for place in tmp_path.parents if not place.stat().st_mode & stat.S_IXOTH]
    modes = {place: place.stat().st_mode for place in [tmp_path, *above]}
    for place, mode in modes.items():
        place.chmod(mode | stat.S_IXOTH)
    yield found
    for place, mode in modes.items():
        place.chmod(stat.S_IMODE(mode))


def owners(home: Path) -> set[int]:
    return {path.lstat().st_uid for path in home.rglob("*")}


def somebody_writes(store: DirectoryStore) -> bool:
    def work() -> None:
        os.setgid(SOMEBODY)
        os.setuid(SOMEBODY)
        put(DirectoryStore(store.path), {"name": "theirs"})

    return forked(work) == 0


def test_all_that_root_makes(home: Path) -> None:
    store = DirectoryStore(home / "a" / "store")
    for turn in range(3):
        put(store, {"name": f"n{turn}"})
        store.compact(who="root")
    put(store, {"name": "last"})
    back_up(store)
    store.contacted({"n1": "2026-11-01T00:00:00.000000Z"})
    assert owners(home) == {SOMEBODY}
    assert somebody_writes(store)
    assert names(store) == ["n0", "n1", "n2", "last", "theirs"]


def test_also_where_the_first_transaction_cannot_be_written_as_json(home: Path) -> None:
    store = DirectoryStore(home / "store")
    with pytest.raises(ValueError, match="integer string conversion"):
        put(store, {"name": "n1", "value": 10**5000})
    assert owners(home) == {SOMEBODY}
    assert somebody_writes(store)


def test_also_where_there_is_no_room_for_it(home: Path) -> None:
    store = DirectoryStore(home / "store")

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        with pytest.raises(StoreError, match="File too large"):
            put(store, {"name": "n1"})

    assert forked(work) == 0
    assert owners(home) == {SOMEBODY}
    assert somebody_writes(store)


def test_a_file_that_root_had_before_stays_with_root(home: Path) -> None:
    """Whoever owns the directory can give any file in it the name of ours."""
    store = DirectoryStore(home / "store")
    put(store, {"name": "n1"})
    lock = store.path / "lock"
    lock.unlink()
    lock.write_bytes(b"\0" * 1024 + b"what only root may read")
    lock.chmod(0o600)
    put(store, {"name": "n2"})
    verify(store.path)
    assert lock.stat().st_uid == 0
