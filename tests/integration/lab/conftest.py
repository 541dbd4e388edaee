# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real nodes that are ready for jobs, with a fresh store for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakenvml import FakeNvml
from tests.integration.lab.fleet import Fleet
from tests.integration.lab.watching import KERNEL_LOG, QUICK
from tests.lab.lab import Lab


def ready(lab: Lab, directory: Path) -> Fleet:
    """The lab's nodes with a store of their own, without jobs or GPUs of an earlier test, and provisioned."""
    fleet = Fleet(lab, directory)
    new = [node for node in lab.nodes if lab.execute(node, "id", "muster").returncode]
    if new:
        provisioned = fleet.play("provision", "--limit", ",".join(new), on=4)
        assert provisioned.rc == 0, provisioned.out
    for node in lab.nodes:
        lab.take_gpus(node)
        fleet.shell(node, "systemctl stop 'muster-*.service'; rm -rf /var/lib/muster/jobs/*")
        fleet.forget_monitor(node)
    return fleet


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path) -> Fleet:
    """Four nodes."""
    return ready(lab, tmp_path)


@pytest.fixture
def torch_fleet(torch_lab: Lab, tmp_path: Path) -> Fleet:
    """Four nodes with torch."""
    return ready(torch_lab, tmp_path)


@pytest.fixture
def gpus(fleet: Fleet) -> Iterator[dict[str, FakeNvml]]:
    """Two GPUs on each of four nodes, which are synced and watched."""
    given = {node: fleet.lab.give_gpus(node, 2) for node in fleet.lab.nodes}
    for node in given:
        fleet.shell(node, f"touch {KERNEL_LOG}")
    synced = fleet.play("sync", on=4)
    assert synced.rc == 0, synced.out
    first = fleet.play("monitor", on=4, muster_health=QUICK)
    assert first.rc == 0, first.out
    yield given
    for node in given:
        fleet.forget_monitor(node)
