# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of backups and of restoring look at, and how they spoil it."""

from __future__ import annotations

from typing import Any

import pytest
from muster.store import DirectoryStore, Tables, backups, read_backup

from .disk import holding

packing = pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])


def documents(tables: DirectoryStore | Tables) -> dict[str, Any]:
    """What is in the state, but for what the store itself counts."""
    return {table: rows for table, rows in holding(tables).items() if table != "meta"}


def kept(store: DirectoryStore) -> list[int]:
    """The serials of the backups in the store, the newest last."""
    return [read_backup(path).serial for path in backups(store.path / "backups")]


def destroy(store: DirectoryStore) -> DirectoryStore:
    """Leave nothing of the state that can be used; the store as the next process finds it."""
    journal = [path for path in (store.path / "journal").iterdir()]
    for path in [store.path / "state.json", store.path / "state.json.backup", *journal]:
        path.touch(0o600)
        path.write_bytes(b"\x00garbage\xff" * 9)
    return DirectoryStore(store.path, tell=lambda _news: None)
