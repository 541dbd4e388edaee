# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each plugin looks for the name of the store, and in which order."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.plugins.desk import Desk

ORDER = ["option", "variable", "environment", "ini", "default"]


def by_lookup(desk: Desk, option: str | None, variable: list[str]) -> str:
    """The node that the lookup finds."""
    store = f", store='{option}'" if option else ""
    found = "{{ query('muster.training.cluster_state', 'nodes', field='name'" + store + ") }}"
    show = {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(desk.directory / "found")}}
    play = desk.playbook("play.yml", {"hosts": "n1", "vars": {"found": found}, "tasks": [show]})
    run = desk.run("ansible-playbook", play, *variable)
    assert run.rc == 0, run.out
    (name,) = json.loads((desk.directory / "found").read_text())
    return str(name)


def by_inventory(desk: Desk, option: str | None, variable: list[str]) -> str:
    """The host that the inventory has."""
    store = f"store: {option}\n" if option else ""
    (desk.directory / "cluster_state.yml").write_text(f"plugin: muster.training.cluster_state\n{store}")
    run = desk.run("ansible-inventory", "-i", "cluster_state.yml", "--list", *variable)
    assert run.rc == 0, run.out
    (name,) = json.loads(run.out)["_meta"]["hostvars"]
    return str(name)


def by_callback(desk: Desk, option: str | None, variable: list[str]) -> str:
    """The store in which the callback notes a contact. It takes no option but those of the configuration."""
    names = desk.directory.glob("stores/*")
    stores = [*names, Path(desk.environment["HOME"], ".local/state/muster")]
    desk.run("ansible-playbook", desk.playbook("play.yml", {"tasks": [{"ansible.builtin.ping": None}]}), *variable)
    (found,) = [store for store in stores if (store / "liveness").exists()]
    return "default" if found.name == "muster" else found.name


@pytest.fixture
def stores(desk: Desk) -> dict[str, Path]:
    """A store for each source, whose only node is named after it; and hosts of all those names."""
    places = {name: desk.directory / "stores" / name for name in ORDER[:-1]}
    places["default"] = Path(desk.environment["HOME"], ".local/state/muster")
    for name, place in places.items():
        desk.add_nodes(name, location=place)
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {"all": {"hosts": dict.fromkeys([*ORDER, "n1"]), "vars": here}}
    (desk.directory / "hosts.yml").write_text(json.dumps(hosts))
    return places


@pytest.mark.parametrize(
    ("plugin", "first"),
    [
        (plugin, first)
        for plugin in (by_lookup, by_inventory, by_callback)
        for first in ORDER
        if (plugin, first) != (by_callback, "option")
    ],
)
def test_the_first_source_that_is_given_decides(
    desk: Desk, stores: dict[str, Path], plugin: Callable[[Desk, str | None, list[str]], str], first: str
) -> None:
    given = {name: str(stores[name]) for name in ORDER[ORDER.index(first) :]}
    desk.environment.pop("MUSTER_STORE")
    if "environment" in given:
        desk.environment["MUSTER_STORE"] = given["environment"]
    desk.configure(**({"store": given["ini"]} if "ini" in given else {}))
    variable = ["-e", f"muster_store={given['variable']}"] if "variable" in given else []
    assert plugin(desk, given.get("option"), variable) == first


@pytest.mark.parametrize("plugin", [by_lookup, by_callback])
def test_the_variable_may_come_from_the_inventory_and_be_a_template(
    desk: Desk, stores: dict[str, Path], plugin: Callable[[Desk, str | None, list[str]], str]
) -> None:
    (desk.directory / "group_vars").mkdir()
    (desk.directory / "group_vars/all.yml").write_text(
        f"place: {desk.directory}/stores\nmuster_store: '{{{{ place }}}}/variable'\n"
    )
    assert plugin(desk, None, []) == "variable"
