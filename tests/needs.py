# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test cannot do without: elsewhere it is skipped and says why; with MUSTER_REQUIRE_LAB=1 it fails."""

from __future__ import annotations

import os

import pytest


def required() -> bool:
    """Whether nothing may be missing: CI says so."""
    return os.environ.get("MUSTER_REQUIRE_LAB") == "1"


def need(missing: str | None) -> None:
    """In a fixture or a test: go on if nothing is ``missing``, which else says what and is the reason to stop."""
    if missing:
        (pytest.fail if required() else pytest.skip)(missing)


def needs(there: bool, missing: str) -> pytest.MarkDecorator:
    """The same as a mark, which ``tests/conftest.py`` obeys before the test is set up."""
    return pytest.mark.needs("" if there else missing)
