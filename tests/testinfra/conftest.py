# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes that are to be verified. Needs pytest and Testinfra, and no Muster.

    pytest tests/testinfra --hosts=ansible://all --ansible-inventory=hosts.yml

verify.yml runs the same, reaches the nodes as all of Muster does, and knows from the state what is to be there.
"""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .node import Node

AT_ONCE = 32
NODES = pytest.StashKey[dict[int, Node]]()


def pytest_configure(config: pytest.Config) -> None:
    """The mark of the tests that an unreachable node fails; of the others it would only be a repetition."""
    config.addinivalue_line("markers", "reaches: is about whether the node can be reached at all")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Nothing here is for whoever runs all tests of the project: without --hosts, Testinfra would mean this machine."""
    return None if config.getoption("hosts", None) else True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Ask all nodes at once, before they are judged one by one."""
    if session.config.option.collectonly:
        return
    hosts = {id(host): host for item in session.items if (host := _host_of(item)) is not None}
    nodes = session.config.stash[NODES] = {key: Node(host) for key, host in hosts.items()}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for node in nodes.values():
            # Ansible keeps the state of its connections in context variables, which threads do not inherit.
            pool.submit(contextvars.copy_context().run, node.look)


@pytest.fixture(scope="module")
def node(host: Any, pytestconfig: pytest.Config) -> Node:
    """The node, with what it has said."""
    return pytestconfig.stash[NODES][id(host)]


@pytest.fixture(autouse=True)
def reached(request: pytest.FixtureRequest, node: Node) -> None:
    """No test is told more than once that a node cannot be reached."""
    if node.unreachable and not request.node.get_closest_marker("reaches"):
        pytest.skip("it cannot be reached")


def _host_of(item: pytest.Item) -> Any:
    """The host that one of the tests here is about."""
    callspec = getattr(item, "callspec", None)
    ours = item.path.parent == Path(__file__).parent
    return callspec.params.get("_testinfra_host") if callspec and ours else None
