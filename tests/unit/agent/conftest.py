# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes on this machine, each with the packed agent in a state directory of its own."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from muster.agent import package

from tests.fakenvml import FakeNvml
from tests.unit.agent.monitor import Monitor
from tests.unit.agent.node import Node


@pytest.fixture
def make_node() -> Iterator[Callable[[str], Node]]:
    """Make nodes by name; whatever runs on them at the end of the test is ended, and must end."""
    made: list[Node] = []

    def make(name: str) -> Node:
        node = Node(name, Path(place) / name)
        node.agent_file.parent.mkdir(parents=True)
        node.agent_file.write_bytes(package.build())
        made.append(node)
        return node

    # Not tmp_path: only its owner may enter it, and some ranks run as other users.
    with tempfile.TemporaryDirectory(prefix="muster-test-") as place:
        os.chmod(place, 0o755)
        yield make
        for node in made:
            node.clear()


@pytest.fixture
def node(make_node: Callable[[str], Node]) -> Node:
    return make_node("n1")


@pytest.fixture
def nodes(make_node: Callable[[str], Node]) -> list[Node]:
    """Three nodes."""
    return [make_node(name) for name in ("n1", "n2", "n3")]


@pytest.fixture
def monitor(node: Node, tmp_path: Path) -> Iterator[Monitor]:
    nvml = FakeNvml(tmp_path / "nvml", gpus=2)
    node.env = nvml.environment()
    made = Monitor(node, nvml)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def started(monitor: Monitor) -> Monitor:
    monitor.start()
    monitor.becomes("healthy")
    return monitor
