# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback under real plays: what it notes, what it puts right, and that it is never in the way."""

from __future__ import annotations

import getpass
import json
import shlex
import shutil
import signal
import sys
from typing import Any

import pytest
from muster.model import Job

from tests.integration.plugins.desk import ROOT, Desk, ended, wait_until

PING: dict[str, object] = {"tasks": [{"ansible.builtin.ping": None}]}
CONTROL: dict[str, object] = {"tasks": [{"ansible.builtin.debug": {"msg": "nobody is contacted"}}]}
ALLOCATE: dict[str, Any] = {
    "name": "Allocate",
    "muster.training.allocation": {"spec": {"name": "ring", "command": ["true"], "slots": 1}},
    "run_once": True,
}
FAIL: dict[str, object] = {"ansible.builtin.fail": {"msg": "on purpose"}}


def seen(desk: Desk) -> dict[str, bool]:
    """Which nodes were contacted since they were made."""
    return {row["name"]: row["last_seen"] is not None for row in desk.cluster().view().nodes}


def summary(out: str) -> list[str]:
    """The lines below the banner."""
    _before, banner, after = out.partition("\nMUSTER ***")
    return [line for line in after.splitlines()[1:] if line] if banner else []


def hang(desk: Desk) -> dict[str, object]:
    """A task that says that it runs by making a file, and then does not end by itself."""
    return {"ansible.builtin.command": {"argv": ["sh", "-c", f"touch {desk.directory}/hanging; exec sleep 600"]}}


def interrupted(desk: Desk, number: signal.Signals, *tasks: dict[str, object]) -> tuple[int, str]:
    """The end of a play that gets a signal while it hangs after these tasks."""
    process = desk.start("ansible-playbook", desk.playbook("play.yml", {"hosts": "n1", "tasks": [*tasks, hang(desk)]}))
    wait_until((desk.directory / "hanging").exists, "the play hangs")
    process.send_signal(number)
    run = ended(process)
    return run.rc, run.out


def test_contacts_are_noted_once_for_nodes_that_were_contacted(desk: Desk) -> None:
    desk.add_nodes("n1", "n2", "away")
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {**PING, "hosts": "n1,away,web"}))
    assert run.rc == 4
    assert seen(desk) == {"n1": True, "n2": False, "away": False}
    status = {row["name"]: row["status"] for row in desk.cluster().view().nodes}
    assert status == {"n1": "idle", "n2": "idle", "away": "unreachable"}
    assert "Connection refused" in desk.cluster().nodes()["away"].reachability.reason
    lines = summary(run.out)
    assert lines[0] == "nodes        3: 2 idle, 1 unreachable"
    assert lines[1].startswith("unreachable  away: ")
    assert desk.cluster().view().serial == 2  # the nodes, and all contacts together


def test_history_says_which_play_and_which_job_of_awx_noted_the_contact(desk: Desk) -> None:
    desk.add_nodes("away")
    play = desk.playbook("play.yml", {**PING, "hosts": "away", "name": "Look round"})
    desk.run("ansible-playbook", play, "-e", "awx_user_name=ann awx_job_id=42")
    *_made, noted = desk.cluster().history()
    assert (noted["why"], noted["origin"]) == ("contact", "play Look round, AWX job 42")
    assert noted["who"].startswith("ansible:ann@")


def test_a_node_that_comes_back_is_no_longer_unreachable(desk: Desk) -> None:
    desk.add_nodes("n1")
    desk.cluster().contacted([], {"n1": "no route"})
    desk.run("ansible-playbook", desk.playbook("play.yml", {**PING, "hosts": "n1"}))
    assert desk.cluster().view().counts() == {"idle": 1}


def test_tasks_of_the_controller_are_no_contacts(desk: Desk) -> None:
    desk.add_nodes("n1", "n2")
    delegated = {"ansible.builtin.ping": None, "delegate_to": "web"}
    mistaken = {"ansible.builtin.command": "echo {{ nothing_of_this_name }}", "ignore_errors": True}
    skipped = {"ansible.builtin.ping": None, "when": False}
    tasks = [*CONTROL["tasks"], delegated, mistaken, skipped]  # type: ignore[misc]
    before = desk.content()
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {"hosts": "n1,n2", "tasks": tasks}))
    assert run.rc == 0, run.out
    assert desk.content() == before


def test_a_module_that_fails_on_a_node_is_a_contact(desk: Desk) -> None:
    desk.add_nodes("n1")
    failing = {"ansible.builtin.command": {"argv": ["false"]}}
    assert desk.run("ansible-playbook", desk.playbook("play.yml", {"hosts": "n1", "tasks": [failing]})).rc == 2
    assert seen(desk) == {"n1": True}


def test_check_mode_changes_nothing_byte_for_byte(desk: Desk) -> None:
    desk.add_nodes("n1", "away")
    before = desk.content()
    tasks = [ALLOCATE, {"ansible.builtin.ping": None, "check_mode": False}, FAIL]
    run = desk.run("ansible-playbook", "--check", desk.playbook("play.yml", {"hosts": "n1,away", "tasks": tasks}))
    assert run.rc != 0
    assert desk.content() == before


def test_a_store_that_does_not_exist_is_not_made(desk: Desk) -> None:
    run = desk.run("ansible-playbook", desk.playbook("play.yml", PING))
    assert not desk.store.exists()
    assert "MUSTER" not in run.out


def test_a_play_that_fails_gives_back_what_it_had_not_started(desk: Desk) -> None:
    desk.add_nodes("n1")
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {"hosts": "n1", "tasks": [ALLOCATE, FAIL]}))
    assert run.rc == 2
    assert desk.cluster().leases() == []
    job = desk.cluster().job("ring")
    assert (job.state, job.reason) == ("CANCELED", "the play ended before the job was started")
    assert f"job ring ({job.id}) was not started: it is canceled and n1 released" in run.out
    assert summary(run.out)[1].startswith(f"job    ring {job.id} CANCELED on n1")


def test_a_play_that_ends_well_keeps_its_allocation_for_the_next_playbook(desk: Desk) -> None:
    desk.add_nodes("n1")
    first = desk.playbook("allocate.yml", {"hosts": "n1", "tasks": [ALLOCATE]})
    run = desk.run("ansible-playbook", first)
    assert run.rc == 0
    assert desk.cluster().job("ring").state == "ALLOCATED"
    desk.cluster().release("ring", cleared=["n1"])
    run = desk.run("ansible-playbook", first, desk.playbook("fail.yml", {"hosts": "n1", "tasks": [FAIL]}))
    assert run.rc == 2
    assert desk.cluster().leases() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 99), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_play_that_is_interrupted_gives_back_what_it_had_not_started(
    desk: Desk, number: signal.Signals, code: int
) -> None:
    desk.add_nodes("n1")
    rc, out = interrupted(desk, number, ALLOCATE)
    assert rc == code, out
    assert desk.cluster().leases() == []
    assert desk.cluster().job("ring").state == "CANCELED"
    assert "was not started: it is canceled and n1 released" in out


def started(desk: Desk) -> tuple[dict[str, object], ...]:
    """Tasks that allocate a job and start it, as far as the state goes."""
    script = (
        f"import sys; sys.path.insert(0, {str(desk.directory)!r}); from muster.cluster import open_cluster; "
        f"c = open_cluster({str(desk.store)!r}, actor='test'); job = c.job('ring'); "
        "c.starting(job.id, 1); c.running(job.id, 1)"
    )
    return ALLOCATE, {"ansible.builtin.command": {"argv": [sys.executable, "-c", script]}}


@pytest.fixture
def importable(desk: Desk) -> None:
    """The library can be imported by a child process as it is by this one."""
    import muster

    (desk.directory / "muster").symlink_to(muster.__path__[0])


def told_command(job: Job, inventory: str = "") -> str:
    return f"ansible-playbook muster.training.release{inventory} -e muster_release={job.id}"


@pytest.mark.usefixtures("importable")
def test_a_play_that_is_interrupted_leaves_a_job_that_runs_and_says_how_to_end_it(desk: Desk) -> None:
    desk.add_nodes("n1")
    _rc, out = interrupted(desk, signal.SIGTERM, *started(desk))
    job = desk.cluster().job("ring")
    assert job.state == "RUNNING"
    assert f"job ring ({job.id}) is RUNNING on n1 and nobody waits for it any more." in out
    assert f"{told_command(job)}\n" in out


@pytest.mark.usefixtures("importable")
def test_the_command_that_is_told_names_the_inventory_and_the_store_of_the_run(desk: Desk) -> None:
    shutil.copy(desk.directory / "hosts.yml", desk.directory / "other.yml")
    desk.add_nodes("n1")
    desk.environment.pop("MUSTER_STORE")
    play = desk.playbook("play.yml", {"hosts": "n1", "tasks": [*started(desk), FAIL]})
    run = desk.run("ansible-playbook", "-i", "other.yml", "-e", "muster_store=state", play)
    job = desk.cluster().job("ring")
    assert f"{told_command(job, ' -i other.yml')} -e muster_store=state\n" in run.out


@pytest.mark.usefixtures("importable")
def test_a_job_that_is_left_running_on_purpose_is_no_alarm(desk: Desk) -> None:
    desk.add_nodes("n1")
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {"hosts": "n1", "tasks": list(started(desk))}))
    assert run.rc == 0
    assert "nobody waits" not in run.out
    job = desk.cluster().job("ring")
    assert summary(run.out)[1] == f"job    ring {job.id} RUNNING on n1"


def test_the_command_that_an_interrupted_launch_tells_ends_its_job(desk: Desk) -> None:
    desk.environment["MUSTER_DEMO_DIR"] = str(desk.directory)
    job = {"name": "long", "command": ["sleep", "600"], "nodes": 2, "user": getpass.getuser()}
    words = ["-i", str(ROOT / "inventories/local"), "-e", json.dumps({"muster_job": job})]
    process = desk.start("ansible-playbook", str(ROOT / "playbooks/launch.yml"), *words)
    wait_until(lambda: [row["state"] for row in desk.cluster().view().jobs] == ["RUNNING"], "the job runs")
    process.send_signal(signal.SIGTERM)
    out = ended(process).out
    _sentence, told, command = out.partition("To end it and release its nodes: ")
    assert told, out
    released = desk.run(*shlex.split(command.splitlines()[0]))
    assert released.rc == 0, released.out
    assert desk.cluster().leases() == []
    assert desk.cluster().job("long").state == "CANCELED"


def test_the_summary_can_be_turned_off_without_the_rest(desk: Desk) -> None:
    desk.add_nodes("n1")
    desk.configure(summary="false")
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {**PING, "hosts": "n1"}))
    assert "MUSTER" not in run.out
    assert seen(desk) == {"n1": True}


def test_all_of_it_can_be_turned_off(desk: Desk) -> None:
    desk.add_nodes("n1")
    desk.environment["MUSTER_CALLBACK"] = "false"
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {**PING, "hosts": "n1"}))
    assert run.rc == 0
    assert seen(desk) == {"n1": False}


def test_a_play_about_other_hosts_is_not_told_about_the_cluster(desk: Desk) -> None:
    desk.add_nodes("n1")
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {**PING, "hosts": "web"}))
    assert "MUSTER" not in run.out


@pytest.mark.parametrize("library", ["pydantic", "tinydb"])
def test_without_its_libraries_a_play_goes_on_with_one_warning(desk: Desk, library: str) -> None:
    desk.forget(library)
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {**PING, "hosts": "n1"}))
    assert run.rc == 0
    assert run.out.count("[WARNING]") == 1
    assert f"the callback cluster_state does nothing: {library} is missing on this machine" in run.out


def test_a_damaged_state_is_a_warning_and_the_play_goes_on(desk: Desk) -> None:
    desk.add_nodes("n1")
    (desk.store / "state.json").write_text("{")
    shutil.rmtree(desk.store / "journal")
    run = desk.run("ansible-playbook", desk.playbook("play.yml", {**PING, "hosts": "n1"}))
    assert run.rc == 0
    assert "the callback cluster_state could not do its part: " in run.out
    assert "state.json is damaged" in run.out
    assert (desk.store / "state.json").read_text() == "{"


def test_ad_hoc_commands_are_contacts_too_where_callbacks_are_on(desk: Desk) -> None:
    desk.add_nodes("n1")
    desk.environment["ANSIBLE_LOAD_CALLBACK_PLUGINS"] = "1"
    assert desk.run("ansible", "n1", "-m", "ansible.builtin.ping").rc == 0
    assert seen(desk) == {"n1": True}
