# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a launch costs, counted on the nodes and in the state, not by Muster itself: it does not grow with the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from muster.store import DirectoryStore

from tests.integration.lab.fleet import Fleet

COUNTER = """#!/bin/sh
printf '%s\\0' "$SSH_ORIGINAL_COMMAND" >> /run/commands
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


@dataclass(frozen=True)
class Cost:
    """Tasks that Ansible ran, transactions of the state, and the remote commands that each node was sent."""

    tasks: int
    transactions: int
    commands: dict[str, list[str]]


@pytest.fixture
def counted(fleet: Fleet) -> Iterator[Fleet]:
    """Nodes whose sshd hands every command to a script that writes it down first."""
    keys = {node: node.root / "root/.ssh/authorized_keys" for node in fleet.lab.nodes.values()}
    before = {node: path.read_text() for node, path in keys.items()}
    for node, path in keys.items():
        counter = node.root / "opt/counter"
        counter.write_text(COUNTER)
        counter.chmod(0o755)
        path.write_text(f'command="/opt/counter" {before[node]}')
    yield fleet
    for node, path in keys.items():
        path.write_text(before[node])


def launched(fleet: Fleet, count: int, wait: bool) -> Cost:
    """A launch over the first ``count`` nodes, of a job that needs all of them."""
    assert fleet.play("sync", on=count).rc == 0
    names = list(fleet.lab.nodes)[:count]
    for node in names:
        assert "inventory" in fleet.shell(node, "cat /run/commands; rm /run/commands"), "the counter counts"
    before = serial(fleet)
    run = fleet.play(
        "launch", job={"name": f"cost-{count}", "command": ["true"], "nodes": count}, on=count, muster_wait=wait
    )
    assert run.rc == 0, run.out
    sent = {node: fleet.shell(node, "cat /run/commands").split("\0")[:-1] for node in names}
    cost = Cost(run.out.count("\nTASK ["), serial(fleet) - before, sent)
    assert fleet.play("release", on=count, muster_release="all").rc == 0
    return cost


def serial(fleet: Fleet) -> int:
    """How many transactions the state has seen."""
    return DirectoryStore(fleet.store).read().serial


def test_a_launch_opens_one_command_a_node_and_costs_no_more_on_more_nodes(counted: Fleet) -> None:
    two, four = (launched(counted, count, wait=False) for count in (2, 4))
    for cost, count in ((two, 2), (four, 4)):
        assert len(cost.commands) == count
        for sent in cost.commands.values():
            assert len(sent) == 1, sent
            assert " start" in sent[0]
    assert 0 < two.tasks == four.tasks
    assert 0 < two.transactions == four.transactions


def test_waiting_for_the_end_grows_with_the_nodes_no_more(counted: Fleet) -> None:
    two, four = (launched(counted, count, wait=True) for count in (2, 4))
    assert {len(sent) for sent in (two.commands | four.commands).values()} == {2}, "start, and one that waits"
    assert 0 < two.tasks == four.tasks
    assert 0 < two.transactions == four.transactions
