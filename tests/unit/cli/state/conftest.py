# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store with two nodes and a job that has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from muster.cluster import Cluster, Outcome
from muster.model import Job, utc_now
from muster.store import DirectoryStore

from tests.unit.samples import Clock, facts, spec
from tests.unit.store.disk import content as bytes_of


@pytest.fixture
def cluster(location: Path) -> Cluster:
    """Two nodes and a job that ended an hour ago, in five transactions."""
    clock = Clock()
    clock.now = utc_now() - timedelta(minutes=65)
    made = Cluster(DirectoryStore(location), actor="ansible:ann@desk", origin="play Launch, AWX job 17", clock=clock)
    made.sync_nodes([facts("gpu1", gpu=2), facts("login", slots=2)])
    job, _plan = made.allocate(spec(name="ring", gpus=2, env={"HF_TOKEN": "hf_abc", "SEED": "1"}))
    assert job.attempt is not None
    made.starting(job.id, job.attempt.epoch)
    made.running(job.id, job.attempt.epoch)
    clock.passes(300)
    made.finish(job.id, job.attempt.epoch, Outcome("SUCCEEDED"), cleared=["gpu1"])
    return made


@pytest.fixture
def job(cluster: Cluster) -> Job:
    return cluster.job("ring")


@pytest.fixture
def content(location: Path) -> Callable[[], dict[str, bytes]]:
    """Reads every file of the store, byte for byte."""
    return lambda: bytes_of(location)
