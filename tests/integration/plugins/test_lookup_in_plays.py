# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup in a real play."""

from __future__ import annotations

import json

from tests.integration.plugins.desk import Desk


def answers(desk: Desk, **expressions: str) -> dict[str, object]:
    """What Jinja expressions come to in a play."""
    shown = {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(desk.directory / "found")}}
    found = {name: "{{ " + expression + " }}" for name, expression in expressions.items()}
    play = desk.playbook("play.yml", {"hosts": "n1", "vars": {"found": found}, "tasks": [shown]})
    run = desk.run("ansible-playbook", play)
    assert run.rc == 0, run.out
    answer: dict[str, object] = json.loads((desk.directory / "found").read_text())
    return answer


def test_query_gives_lists_and_lookup_the_thing_itself(desk: Desk) -> None:
    desk.add_nodes("n1", "n2")
    plugin = "'muster.training.cluster_state'"
    assert answers(
        desk,
        query=f"query({plugin}, 'nodes', field='name')",
        joined=f"lookup({plugin}, 'nodes', field='name')",
        wanted_as_list=f"lookup({plugin}, 'nodes', name='n1', field='name', wantlist=true)",
        one=f"lookup({plugin}, 'nodes', name='n1').status",
        none=f"query({plugin}, 'nodes', name='n9')",
        counted=f"query({plugin}, 'nodes', where={{'status': ['idle', 'mixed']}}) | length",
    ) == {
        "query": ["n1", "n2"],
        "joined": "n1,n2",
        "wanted_as_list": ["n1"],
        "one": "idle",
        "none": [],
        "counted": 2,
    }


def test_a_mistake_fails_the_task_with_one_sentence(desk: Desk) -> None:
    desk.add_nodes("n1")
    message = "{{ query('muster.training.cluster_state', 'nodes', field='stauts') }}"
    play = desk.playbook("play.yml", {"hosts": "n1", "tasks": [{"ansible.builtin.debug": {"msg": message}}]})
    run = desk.run("ansible-playbook", play)
    assert run.rc == 2
    assert "nodes has no field 'stauts' (did you mean status?)" in run.out


def test_without_its_libraries_it_says_which_one_is_missing(desk: Desk) -> None:
    desk.forget("tinydb")
    message = "{{ query('muster.training.cluster_state', 'nodes') }}"
    play = desk.playbook("play.yml", {"hosts": "n1", "tasks": [{"ansible.builtin.debug": {"msg": message}}]})
    run = desk.run("ansible-playbook", play)
    assert run.rc == 2
    assert "Failed to import the required Python library (tinydb)" in run.out
