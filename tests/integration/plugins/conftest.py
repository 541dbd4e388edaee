# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each test runs Ansible from a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.plugins.desk import Desk


@pytest.fixture
def desk(tmp_path: Path, home: Path) -> Desk:
    """A fresh one."""
    return Desk(tmp_path, home)
