# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that keep the state, in real playbooks: in the control process, and as modules on another host."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from muster.model import JobSpec

from tests.integration.modules.site import Played, Site, Task, task

NODES = [{"name": "n1", "address": "10.0.0.1", "slots": 2}, {"name": "n2", "address": "10.0.0.2", "slots": 1}]
RING = {"name": "ring", "command": ["python3", "ring.py"], "slots": 3}


CHANGES: dict[str, tuple[list[Task], Task]] = {
    "add": ([], task("node", nodes=NODES)),
    "update": ([], task("node", nodes=[NODES[0] | {"slots": 4}, NODES[1]])),
    "drain": ([], task("node", names=["n1"], state="drained", reason="new memory")),
    "resume": ([], task("node", names=["n1"], state="resumed")),
    "cancel": ([task("job", spec=RING)], task("job", job="ring", state="canceled")),
    "release": (
        [task("allocation", spec=RING | {"name": "held"})],
        task("allocation", job="held", state="absent", cleared=["n1", "n2"]),
    ),
    "purge": ([], task("node", nodes=NODES[:1], purge=True)),
    "remove": ([], task("node", names=["n1"], state="absent")),
}
"""Changes that can be made once: what goes before, and the task. Each builds on those above it."""


MOMENTS = ("before", "after it was foreseen", "after it was made", "at the end")


def test_every_change_is_foreseen_made_once_and_shown(site: Site) -> None:
    tasks: list[Task] = []
    for name, (before, change) in CHANGES.items():
        foreseen, made, again, unchanged = tries(name, change)
        serials = [task("node_info", name=f"{name}: serial {moment}") for moment in MOMENTS]
        tasks += [*before, serials[0], foreseen, serials[1], made, serials[2], again, unchanged, serials[3]]
    played = site.play(*tasks)
    assert played.rc == 0, played.out
    for name in CHANGES:
        assert_tried(played, name)
        serials = [played[f"{name}: serial {moment}"]["serial"] for moment in MOMENTS]
        assert serials == [serials[0], serials[0], serials[0] + 1, serials[0] + 1], name


def test_on_another_host_the_modules_do_the_same(site: Site) -> None:
    names = ("add", "cancel", "release")
    tasks = [step for name in names for step in [*CHANGES[name][0], *tries(name, CHANGES[name][1])]]
    tasks += [task("node_info"), task("job_info")]
    played = site.play(
        *({**step, "delegate_to": "elsewhere"} for step in tasks), vars={"muster_store": str(site.store)}
    )
    assert played.rc == 0, played.out
    for name in names:
        assert_tried(played, name)
    assert [node["name"] for node in played["node_info"]["nodes"]] == ["n1", "n2"]
    assert [job["state"] for job in played["job_info"]["jobs"]] == ["CANCELED", "CANCELED"]


def tries(name: str, change: Task) -> list[Task]:
    """The same change four times: foreseen, made, made again, and foreseen again."""
    return [
        change | {"name": f"{name}: foreseen", "check_mode": True, "diff": True},
        change | {"name": f"{name}: made", "diff": True},
        change | {"name": f"{name}: again", "diff": True},
        change | {"name": f"{name}: again foreseen", "check_mode": True},
    ]


def assert_tried(played: Played, name: str) -> None:
    """The first two tries say the same change, and the others none."""
    foreseen, made = played[f"{name}: foreseen"], played[f"{name}: made"]
    assert (foreseen["changed"], made["changed"]) == (True, True), name
    assert foreseen["diff"]["before"] == made["diff"]["before"], name
    assert list(foreseen["diff"]["after"]) == list(made["diff"]["after"]), name
    assert made["diff"]["before"] != made["diff"]["after"], name
    assert not played[f"{name}: again"]["changed"], name
    assert not played[f"{name}: again foreseen"]["changed"], name


def test_a_play_in_check_mode_leaves_no_trace(site: Site) -> None:
    tasks = [task("node", nodes=NODES), task("job", spec=RING), task("node_info"), task("job_info")]
    played = site.play(*tasks, words=("--check", "--diff"))
    assert (played.rc, played.changed()) == (0, [True, True, False, False]), played.out
    assert not site.store.exists()
    site.play(task("node", nodes=NODES))
    before = site.content()
    played = site.play(task("allocation", spec=RING), words=("--check", "--diff"))
    assert (played.rc, played.results[0]["plan"]["world_size"]) == (0, 3)
    assert site.content() == before


def test_an_allocation_is_given_and_taken_back(site: Site) -> None:
    site.play(task("node", nodes=NODES))
    played = site.play(
        task("allocation", spec=RING, within=["n1", "n2"]) | {"register": "held"},
        task("allocation", name="withdraw", job="{{ held.job.id }}", epoch="{{ held.epoch }}", state="withdrawn"),
        task("job_info", name="afterwards"),
    )
    assert played.rc == 0, played.out
    assert played["allocation"]["plan"]["master_addr"] == "10.0.0.1"
    assert played["afterwards"]["jobs"] == []
    assert site.cluster().leases() == []


def test_the_state_is_kept_here_whatever_host_the_task_is_for(site: Site) -> None:
    played = site.play(task("node", nodes=NODES), hosts="away", become=True)
    assert (played.rc, played.results[0]["host"]) == (0, "away"), played.out
    assert set(site.cluster().nodes()) == {"n1", "n2"}


def test_the_change_says_who_made_it(site: Site) -> None:
    site.environment["LOGNAME"] = "ada"
    site.play(task("node", nodes=NODES), task("node", names=["n1"], state="drained", reason="new memory"))
    by = site.cluster().nodes()["n1"].admin.by
    assert by.startswith("ansible:ada@")


def test_a_task_in_the_control_process_starts_no_interpreter(site: Site) -> None:
    played = site.play(task("node", nodes=NODES), vars={"ansible_python_interpreter": "/nowhere/python3"})
    assert played.rc == 0, played.out


def test_a_job_that_waits_says_so_and_goes_on_when_it_can(site: Site) -> None:
    site.add_nodes("n1")
    cluster = site.cluster()
    holder, _plan = cluster.allocate(JobSpec(name="holder", command=["true"], slots=1))
    name = site.playbook(
        "play.yml",
        {
            "hosts": "localhost",
            "tasks": [task("allocation", spec=RING | {"slots": 1}, wait_for_capacity_s=120)],
        },
    )
    process = site.start("ansible-playbook", name)
    assert process.stdout is not None
    heard = next(line for line in process.stdout if "waiting for capacity" in line)
    assert f"holder ({holder.id})" in heard
    cluster.release(holder.id, cleared=["n1"])
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0, rest
    assert [job["state"] for job in cluster.view().jobs if job["name"] == "ring"] == ["ALLOCATED"]


def failed(played: Played) -> dict[str, Any]:
    """The failure of the last task, told without a traceback."""
    assert played.rc == 2, played.out
    assert "Traceback" not in played.out
    return played.results[-1]


@pytest.mark.parametrize("host", ["localhost", "elsewhere"])
def test_a_mistake_gets_one_sentence_wherever_the_module_runs(site: Site, host: str) -> None:
    there = {"delegate_to": host, "ignore_errors": True}
    played = site.play(
        task("node", nodes=[NODES[0] | {"adress": "x"}], keywords=there),
        task("job", spec=RING | {"command": "python3 ring.py"}, keywords=there),
        task("allocation", spec=RING, keywords=there),
        task("job_info", job="ring", keywords=there),
        vars={"muster_store": str(site.store)},
    )
    assert played.rc == 0, played.out
    assert "Traceback" not in played.out
    sentences = [result["msg"] for result in played.results]
    assert sentences[0] == "nodes[0].adress is unknown: did you mean address?"
    assert sentences[1].startswith("muster_job.command: must be a list of words")
    assert sentences[2].startswith("there is no node to place a job on")
    assert sentences[3].startswith("Unsupported parameters for (muster.training.job_info) module: job.")
    assert [result["error"]["code"] for result in played.results[:2]] == ["invalid_input", "invalid_input"]
    assert not (site.store / "state.json").exists()


def test_a_damaged_store_is_said_and_left_alone(site: Site) -> None:
    site.add_nodes("n1")
    state = site.store / "state.json"
    state.write_bytes(state.read_bytes()[:-10])
    before = state.read_bytes()
    shutil.rmtree(site.store / "journal")
    result = failed(site.play(task("node", nodes=NODES)))
    assert (result["error"]["code"], result["changed"]) == ("damaged", False)
    assert f"{state} is damaged" in result["msg"]
    assert state.read_bytes() == before


def test_a_missing_library_is_named_on_the_control_node(site: Site) -> None:
    site.forget("tinydb")
    result = failed(site.play(task("node_info")))
    assert "Failed to import the required Python library (tinydb)" in result["msg"]


def test_a_missing_library_is_named_on_another_host(site: Site) -> None:
    site.forget("tinydb")
    hidden = {"PYTHONPATH": site.environment.pop("PYTHONPATH")}
    result = failed(site.play(task("node_info", keywords={"delegate_to": "elsewhere", "environment": hidden})))
    assert "Failed to import the required Python library (tinydb)" in result["msg"]


def test_one_default_sets_the_store_of_every_module(site: Site) -> None:
    store = str(site.directory / "one" / "store")
    played = site.play(
        task("node", nodes=NODES),
        task("job", spec=RING),
        task("allocation", job="ring"),
        task("node_info"),
        task("job_info"),
        module_defaults={"group/muster.training.cluster": {"store": store}},
    )
    assert played.rc == 0, played.out
    assert [node["jobs"] for node in played["node_info"]["nodes"]] == [[played["job"]["job"]["id"]]] * 2
    assert [job["state"] for job in played["job_info"]["jobs"]] == ["ALLOCATED"]
    assert not site.store.exists()


def test_the_store_is_found_in_the_documented_order(site: Site) -> None:
    site.configure(store=str(site.directory / "from_ini"))
    at = {name: str(site.directory / name) for name in ("from_option", "from_variable", "from_default")}
    site.environment["MUSTER_STORE"] = str(site.directory / "from_environment")
    variable = {"vars": {"muster_store": "{{ place }}", "place": at["from_variable"]}}
    played = site.play(
        task("node", nodes=NODES, store=at["from_option"], keywords=variable),
        task("node", nodes=NODES, keywords=variable),
        task(
            "node", nodes=NODES, keywords={"module_defaults": {"muster.training.node": {"store": at["from_default"]}}}
        ),
        task("node", nodes=NODES),
    )
    del site.environment["MUSTER_STORE"]
    site.play(task("node", nodes=NODES))
    site.configure()
    site.play(task("node", nodes=NODES))
    assert played.rc == 0, played.out
    found = {path.parent.name for path in site.directory.glob("from_*/state.json")}
    assert found == {"from_option", "from_variable", "from_default", "from_environment", "from_ini"}
    assert (site.directory / "home/.local/state/muster/state.json").exists()


def test_what_ansible_tags_or_decrypts_is_kept_as_plain_text(site: Site) -> None:
    (site.directory / "password").write_text("open sesame")
    encrypted = site.run("ansible-vault", "encrypt_string", "--vault-password-file", "password", "4711").out
    (site.directory / "job.yml").write_text(
        "muster_job: {name: ring, command: [python3, '{{ script }}'], slots: 1, env: {SEED: '{{ seed }}'}}\n"
        "script: ring.py\n"
        "seed: " + encrypted[encrypted.index("!vault") :].split("\nEncryption")[0] + "\n"
    )
    words = ("--extra-vars", "@job.yml", "--vault-password-file", "password")
    nodes = [NODES[0] | {"connection": {"host": "{{ inventory_hostname }}"}}]
    played = site.play(task("node", nodes=nodes), task("job", spec="{{ muster_job }}"), words=words)
    assert played.rc == 0, played.out
    (job,) = site.cluster().view().jobs
    assert (job["spec"]["command"], job["spec"]["env"]) == (["python3", "ring.py"], {"SEED": "4711"})
    assert site.cluster().nodes()["n1"].connection == {"host": "localhost"}
