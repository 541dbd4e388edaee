# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins as Ansible loads them, from the checkout, and a small cluster for them to speak of.

They are imported below ``ansible_collections``: not in one process with tests of the library as ``muster``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).resolve().parents[3] / "collections")])

from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster, open_cluster  # noqa: E402
from ansible_collections.muster.training.plugins.module_utils.model import Gpu, JobSpec, NodeFacts  # noqa: E402


@pytest.fixture
def location(tmp_path: Path) -> str:
    """A store that does not exist yet."""
    return str(tmp_path / "state")


@pytest.fixture
def cluster(location: str) -> Cluster:
    """Nodes n1 (2 slots, rack r1), n2 and n3 (1 slot, rack r2), and g1 with two GPUs."""
    made = open_cluster(location, actor="test")
    gpus = [Gpu(index=i, uuid=f"GPU-{i}", model="NVIDIA H100 80GB HBM3", memory_mib=81559) for i in range(2)]
    made.sync_nodes(
        [
            NodeFacts(name="n1", address="10.0.0.1", slots=2, labels={"rack": "r1", "example.org/zone": "a"}),
            NodeFacts(name="n2", address="10.0.0.2", slots=1, labels={"rack": "r2"}),
            NodeFacts(name="n3", address="10.0.0.3", slots=1, labels={"rack": "r2"}),
            NodeFacts(name="g1", address="10.0.0.4", gpus=gpus),
        ]
    )
    return made


@pytest.fixture
def spec() -> Callable[..., JobSpec]:
    """Makes the description of a job named ``ring`` on one slot, unless told otherwise."""

    def make(**asked: Any) -> JobSpec:
        return JobSpec.model_validate({"name": "ring", "command": ["true"], "slots": 1} | asked)

    return make
