# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each test runs its playbooks from a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.modules.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A fresh one, with a store that does not exist yet."""
    return Site(tmp_path)
