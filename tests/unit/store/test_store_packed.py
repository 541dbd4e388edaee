# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store whose last segment is packed, as somebody may put it together of an older snapshot and the history."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from muster.store import DirectoryStore
from muster.store.journal import Segment

from .disk import names, put, sound


@pytest.fixture
def packed(store: DirectoryStore, tmp_path: Path) -> DirectoryStore:
    """The first snapshot, and the packed segment with the three transactions after it."""
    put(store, {"name": "n0"})
    store.compact(who="tester")
    snapshot = (store.path / "state.json").read_bytes()
    for turn in range(3):
        put(store, {"name": f"n{turn + 1}"})
    for turn in range(2):
        store.compact(who="tester")
        put(store, {"name": f"later{turn}"})
    place = tmp_path / "packed"
    (place / "journal").mkdir(parents=True, mode=0o700)
    place.chmod(0o700)
    (place / "state.json").write_bytes(snapshot)
    (place / "state.json").chmod(0o600)
    shutil.copy(store.path / "journal" / f"{1:020d}.jsonl.gz", place / "journal")
    return DirectoryStore(place)


def test_it_is_read_once(packed: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = []
    follow = Segment.follow
    monkeypatch.setattr(Segment, "follow", lambda segment, state: (followed.append(1), follow(segment, state))[1])
    for _turn in range(5):
        assert names(packed) == ["n0", "n1", "n2", "n3"]
    assert len(followed) == 1


def test_what_is_written_goes_into_a_segment_of_its_own(packed: DirectoryStore) -> None:
    put(packed, {"name": "new"})
    for store in (packed, DirectoryStore(packed.path)):
        assert names(store) == ["n0", "n1", "n2", "n3", "new"]
        assert store.read().serial == 5
    assert sound(packed)
    assert [record["serial"] for record in packed.history()] == [2, 3, 4, 5]
