# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of a store, for people who look after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .backups import backups
from .directory import DirectoryStore
from .document import SCHEMA
from .journal import Journal
from .loading import BACKUPS, DAMAGED, JOURNAL, STATE


def describe(store: DirectoryStore) -> dict[str, Any]:
    """Who it is, how far it got, what it holds, and how large its files are (bytes)."""
    tables = store.read()
    segments = list(Journal(store.path / JOURNAL).segments().values())
    return {
        "path": str(store.path),
        "lineage": tables.lineage if tables.serial else None,
        "serial": tables.serial,
        "epoch": tables.epoch,
        "schema": SCHEMA,
        "changed": dict(tables.changed),
        "tables": {name: tables.count(name) for name in tables.names()},
        "snapshot_bytes": _size(store.path / STATE),
        "journal_bytes": sum(map(_size, segments)),
        "journal_segments": len(segments),
        "backups": [str(path) for path in backups(store.path / BACKUPS)],
        "damaged": sorted(str(path) for path in (store.path / DAMAGED).glob("*")),
    }


def _size(path: Path) -> int:
    """Nothing, of a file that was packed or replaced meanwhile, or was never made."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
