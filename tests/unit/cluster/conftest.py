# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small cluster, and its clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from muster.cluster import Cluster
from muster.store import DirectoryStore

from tests.unit.samples import Clock, facts


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(tmp_path: Path, clock: Clock) -> Cluster:
    """Three nodes without GPUs, of 2, 1 and 1 slots."""
    found = Cluster(DirectoryStore(tmp_path / "store"), actor="alice", clock=clock)
    found.sync_nodes([facts("n1", slots=2), facts("n2", slots=1), facts("n3", slots=1)])
    return found
