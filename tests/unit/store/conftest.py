# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that nobody has written yet, and what it tells of damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from muster.store import DirectoryStore


@pytest.fixture
def told() -> list[str]:
    """What the store has told a person."""
    return []


@pytest.fixture
def store(tmp_path: Path, told: list[str]) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store", tell=told.append)
