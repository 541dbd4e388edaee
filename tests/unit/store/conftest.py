# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that nobody has written yet, and what it tells of damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from muster.store import DirectoryStore

from tests.unit.store.disk import put


@pytest.fixture
def told() -> list[str]:
    """What the store has told a person."""
    return []


@pytest.fixture
def store(tmp_path: Path, told: list[str]) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store", tell=told.append)


@pytest.fixture
def filled(store: DirectoryStore) -> DirectoryStore:
    """Three transactions in."""
    put(store, {"name": "n1", "size": 1}, {"name": "n2"})
    put(store, {"id": "j1", "name": "ring"}, table="jobs")
    put(store, {"name": "n1", "size": 2})
    return store


@pytest.fixture
def other(tmp_path: Path) -> DirectoryStore:
    """The store of another cluster, which is further on."""
    found = DirectoryStore(tmp_path / "other")
    for number in range(6):
        put(found, {"name": f"o{number}"})
    return found
