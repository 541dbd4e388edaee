# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways to keep a fleet's state, by what the table calls them and in its order."""

from __future__ import annotations

from .store_ours import Liveness, Ours, OursAsTinyDB
from .store_peers import Append, AppendData, SQLite, Stock
from .store_way import Way

WAYS: dict[str, type[Way]] = {
    way.label: way for way in (Append, AppendData, Ours, OursAsTinyDB, Liveness, SQLite, Stock)
}

RACERS: dict[str, type[Ours] | type[SQLite]] = {Ours.label: Ours, SQLite.label: SQLite}
"""Those that several processes may change at once."""
