# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the state is kept: TinyDB documents in a directory, changed by transactions. Knows documents, not jobs."""

from __future__ import annotations

from .actor import actor
from .backups import KEEP, BackedUp, Restored, back_up, backups, newest_backup, read_backup, restore
from .database import Database
from .describe import describe
from .directory import DirectoryStore
from .document import KEYS, SCHEMA, own
from .draft import Draft
from .edits import difference
from .location import Store, default_location, open_store
from .rows import Change
from .state import Record
from .tables import Tables
from .verify import Verified, verify

__all__ = [
    "KEEP",
    "KEYS",
    "SCHEMA",
    "BackedUp",
    "Change",
    "Database",
    "DirectoryStore",
    "Draft",
    "Record",
    "Restored",
    "Store",
    "Tables",
    "Verified",
    "actor",
    "back_up",
    "backups",
    "default_location",
    "describe",
    "difference",
    "newest_backup",
    "open_store",
    "own",
    "read_backup",
    "restore",
    "verify",
]
