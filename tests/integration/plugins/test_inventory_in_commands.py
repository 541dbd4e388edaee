# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin in real commands."""

from __future__ import annotations

import getpass
import json

from tests.integration.plugins.desk import ROOT, Desk

SOURCE = "plugin: muster.training.cluster_state\n"


def test_the_graph_shows_hosts_in_their_groups(desk: Desk) -> None:
    desk.add_nodes("n1", "n2")
    desk.cluster().drain(["n2"], reason="fan")
    (desk.directory / "cluster_state.yml").write_text(SOURCE)
    run = desk.run("ansible-inventory", "-i", "cluster_state.yml", "--graph")
    assert run.rc == 0
    assert "  |--@status_idle:\n  |  |--n1\n" in run.out
    assert "  |--@status_drained:\n  |  |--n2\n" in run.out


def test_without_its_libraries_only_its_own_files_fail(desk: Desk) -> None:
    desk.add_nodes("n1")
    (desk.directory / "cluster_state.yml").write_text(SOURCE)
    desk.environment["ANSIBLE_INVENTORY_ENABLED"] = "muster.training.cluster_state,yaml"
    desk.forget("pydantic")
    others = desk.run("ansible-inventory", "-i", "hosts.yml", "--graph")
    assert others.rc == 0
    assert "n1" in others.out
    own = desk.run("ansible-inventory", "-i", "cluster_state.yml", "--graph")
    assert "Failed to import the required Python library (pydantic)" in own.out


def test_nodes_are_reached_as_they_were_when_they_were_synced(desk: Desk) -> None:
    """From an inventory of files into the state; and a job is launched on the inventory that the state gives."""
    desk.environment["MUSTER_DEMO_DIR"] = str(desk.directory)
    playbooks, inventory = ROOT / "playbooks", ROOT / "inventories/local"
    synced = desk.run("ansible-playbook", f"{playbooks}/sync.yml", "-i", str(inventory))
    assert synced.rc == 0, synced.out
    (desk.directory / "cluster_state.yml").write_text(SOURCE)
    pinged = desk.run("ansible", "status_idle", "-i", "cluster_state.yml", "-m", "ansible.builtin.ping", "-o")
    assert pinged.rc == 0, pinged.out
    assert pinged.out.count("SUCCESS") == 3
    job = json.dumps({"muster_job": {"name": "hello", "command": ["true"], "nodes": 3, "user": getpass.getuser()}})
    launched = desk.run("ansible-playbook", f"{playbooks}/launch.yml", "-i", "cluster_state.yml", "-e", job)
    assert launched.rc == 0, launched.out
    assert desk.cluster().job("hello").state == "SUCCEEDED"
