# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An sshd for all who speak to nodes, and a file system that can be frozen.

Property tests judge what is done, never how fast: the machine may be busy with something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import frozen
from tests.needs import need
from tests.unit.remote import sshd as server

settings.register_profile("muster", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("muster")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.Sshd]:
    """A server for the whole session."""
    need(server.missing())
    with server.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def file_system(tmp_path: Path) -> Iterator[frozen.Frozen]:
    """One that can be frozen."""
    need(frozen.missing())
    with frozen.mounted(tmp_path) as mounted:
        yield mounted
