# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the state is kept: TinyDB documents in a directory, changed by transactions. Knows documents, not jobs."""

from __future__ import annotations

from .actor import actor
from .database import Database
from .directory import DirectoryStore
from .document import KEYS, SCHEMA
from .location import Store, default_location, open_store
from .tables import Draft, Tables

__all__ = [
    "KEYS",
    "SCHEMA",
    "Database",
    "DirectoryStore",
    "Draft",
    "Store",
    "Tables",
    "actor",
    "default_location",
    "open_store",
]
