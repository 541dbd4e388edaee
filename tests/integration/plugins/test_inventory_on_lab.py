# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On real nodes: the state's own inventory reaches them as the inventory did from which they were synced."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.plugins.desk import ROOT, Desk
from tests.lab.lab import Lab


@pytest.mark.parametrize(
    ("user", "via"), [("root", None), ("ops", "n001")], ids=["as root", "with sudo and behind a jump host"]
)
def test_nodes_are_reached_by_their_records(desk: Desk, lab: Lab, user: str, via: str | None) -> None:
    options: dict[str, Any] = {"cwd": desk.directory, "env": desk.environment}
    inventory = lab.inventory(user=user, via=via)
    synced = lab.run(["ansible-playbook", ROOT / "playbooks/sync.yml", "-i", inventory], **options)
    assert synced.returncode == 0, synced.stdout + synced.stderr
    (desk.directory / "cluster_state.yml").write_text("plugin: muster.training.cluster_state\n")
    command = [
        "ansible",
        "status_idle",
        "-i",
        "cluster_state.yml",
        "-o",
        "-m",
        "ansible.builtin.command",
        "-a",
        "id -un",
    ]
    asked = lab.run(command, **options)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert asked.stdout.count("(stdout) root") == 4


def test_a_node_that_is_switched_off_is_marked_and_comes_back(desk: Desk, lab: Lab) -> None:
    options: dict[str, Any] = {"cwd": desk.directory, "env": desk.environment}
    inventory = lab.inventory()
    synced = lab.run(["ansible-playbook", ROOT / "playbooks/sync.yml", "-i", inventory], **options)
    assert synced.returncode == 0, synced.stdout + synced.stderr
    play = desk.playbook("ping.yml", {"tasks": [{"ansible.builtin.ping": None}]})
    ping = ["ansible-playbook", play, "-i", inventory, "-T", "30"]
    lab["n004"].kill()
    lab.run(ping, **options)
    assert desk.cluster().view().counts() == {"idle": 3, "unreachable": 1}
    lab.start("n004")
    lab.run(ping, **options)
    assert desk.cluster().view().counts() == {"idle": 4}
