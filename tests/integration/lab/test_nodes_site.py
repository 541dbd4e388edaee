# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Provisioning and syncing real nodes: as root over plain ssh, and as somebody who becomes root."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.lab.fleet import Fleet
from tests.lab.lab import Lab

CHANGED = re.compile(r"\bchanged=(\d+)")
OF_THE_WAY = ("connection", "created_at")


@pytest.mark.parametrize("user", ["root", "ops"])
def test_site_prepares_new_nodes_and_finds_nothing_to_do_the_second_time(lab: Lab, tmp_path: Path, user: str) -> None:
    fleet = Fleet(lab, tmp_path)
    lab.each(lambda node: lab.renew(node.name))
    inventory = fleet.inventory(3, user=user)
    first = fleet.play("site", on=inventory)
    assert first.rc == 0, first.out
    assert max(int(count) for count in CHANGED.findall(first.out)) > 0
    for node in ("n001", "n002", "n003"):
        assert fleet.shell(node, "id -un muster; stat -c %U:%a /var/lib/muster/bin/*") == "muster\nroot:644\n"
    assert {name: (node["slots"], node["gpu_model"]) for name, node in fleet.nodes().items()} == {
        "n001": (2, "unknown"),
        "n002": (1, "unknown"),
        "n003": (1, "unknown"),
    }
    assert fleet.statuses() == dict.fromkeys(("n001", "n002", "n003"), "idle")
    second = fleet.play("site", on=inventory)
    assert second.rc == 0, second.out
    assert set(CHANGED.findall(second.out)) == {"0"}, second.out
    assert not list((lab["n004"].root / "var/lib").glob("muster")), "n004 is not in the inventory"


def test_the_state_is_the_same_whichever_way_the_nodes_are_reached(fleet: Fleet, tmp_path: Path) -> None:
    def synced(**options: Any) -> dict[str, dict[str, Any]]:
        own = Fleet(fleet.lab, tmp_path / str(len(list(tmp_path.iterdir()))))
        own.directory.mkdir()
        run = own.play("sync", on=own.inventory(3, **options))
        assert run.rc == 0, run.out
        ways = {name: node["connection"] for name, node in own.nodes().items()}
        assert all(ways.values())
        found = {
            name: {key: value for key, value in node.items() if key not in OF_THE_WAY}
            for name, node in own.nodes().items()
        }
        for node in found.values():
            node["reachability"] = node["reachability"] | {"at": None}
        return found

    plain = synced()
    assert plain == synced(user="ops")
    assert plain == synced(user="ops", via="n001")


def test_a_node_without_python_is_left_out_and_said(fleet: Fleet) -> None:
    fleet.shell("n002", "mv /usr/bin/python3 /usr/bin/python3.hidden")
    try:
        run = fleet.play("sync")
    finally:
        fleet.shell("n002", "mv /usr/bin/python3.hidden /usr/bin/python3")
    assert run.rc == 0, run.out
    assert "there is no /usr/bin/python3 on n002 (install Python 3.9 or newer there" in run.said
    assert "Traceback" not in run.out
    assert set(fleet.nodes()) == {"n001", "n003"}
    again = fleet.play("sync")
    assert again.rc == 0, again.out
    assert set(fleet.nodes()) == {"n001", "n002", "n003"}
