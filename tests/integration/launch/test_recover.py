# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A launch that is killed at any moment: recover.yml makes the state true, and nothing is left over."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time

import pytest
from muster.cluster import open_cluster

from tests.integration.killing import kill_playbook
from tests.integration.launch.conftest import Site

ROUNDS = int(os.environ.get("MUSTER_KILLED_LAUNCHES", "4"))
LONGEST_S = 7.0
"""About how long a launch takes here, on a machine that does other things as well."""


def violations(site):
    return open_cluster(str(site.store), actor="test").view().violations


def test_what_ended_unwatched_what_runs_and_what_nobody_owns(site):
    long = {"command": ["sleep", "600"], "slots": 1}
    for name in ("runs", "stranger"):
        assert site.play("launch", job={"name": name, **long}, muster_wait=False).rc == 0
    assert site.play("launch", job={"name": "over", "command": ["true"], "slots": 1}, muster_wait=False).rc == 0
    jobs = site.jobs()
    with open_cluster(str(site.store), actor="test").store.transaction(who="test", why="by hand") as draft:
        draft.remove("leases", [row["id"] for row in draft.all("leases") if row["job"] == jobs["stranger"]["id"]])
        draft.remove("jobs", [jobs["stranger"]["id"]])
    site.wait_until_nothing_runs(jobs["over"])

    before = site.table("jobs")
    foreseen = site.play("recover", "--check")
    assert foreseen.rc == 0, foreseen.out
    assert "would be SUCCEEDED" in foreseen.out and "would be stopped" in foreseen.out
    assert site.table("jobs") == before
    assert site.processes(jobs["stranger"])

    run = site.play("recover")
    assert run.rc == 0, run.out
    told = {"runs": "runs +left as it is", "over": "has succeeded +is SUCCEEDED, 1 of 1 leases given back"}
    for name, words in told.items():
        assert re.search(rf"{name} \({jobs[name]['id']}\) +n\d +{words}", run.out), run.out
    assert site.processes(jobs["stranger"]) == []
    assert site.processes(jobs["runs"])
    assert {name: job["state"] for name, job in site.jobs().items()} == {"runs": "RUNNING", "over": "SUCCEEDED"}

    again = site.play("recover")
    assert again.rc == 0, again.out
    assert re.search(r"changed=0 .*failed=0", again.out)
    assert violations(site) == []


def test_a_node_that_does_not_answer_is_told_and_marked_and_the_others_are_recovered(site, tmp_path):
    dead = tmp_path / "dead.yml"
    dead.write_text("all: {hosts: {n9: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}}}")
    assert site.play("launch", job={"name": "over", "command": ["true"], "slots": 1}, muster_wait=False).rc == 0
    site.wait_until_nothing_runs(site.jobs()["over"])
    run = site.play("recover", "-i", str(dead))
    assert run.rc == 0, run.out
    assert "[WARNING]: n9 (127.0.0.1:1) refused the connection" in run.out
    assert site.jobs()["over"]["state"] == "SUCCEEDED"


JOB = {"name": "ring", "command": ["sh", "-c", "sleep 1; echo finished"], "nodes": 3}
"""Its ranks take a moment and end well: whatever had begun has the end that it had."""


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_launch_that_is_killed_at_any_moment(site, turn):
    moment = random.Random(turn).uniform(0.5, LONGEST_S)
    process = site.popen("launch", job=JOB)
    time.sleep(moment)
    kill_playbook(process)
    nothing_is_left_and_the_state_is_true(site)


def test_a_launch_that_is_killed_before_any_of_its_tasks(tmp_path):
    """One launch for each task, on a site of its own, which dies when that task is about to start."""
    (tmp_path / "callback_plugins").mkdir()
    (tmp_path / "callback_plugins/dies.py").write_text(DIES)
    died = 0
    while True:
        site = Site(tmp_path / str(died))
        site.environment |= {"ANSIBLE_CALLBACK_PLUGINS": str(tmp_path / "callback_plugins"), "DIES_BEFORE": str(died)}
        process = site.popen("launch", job=JOB, start_new_session=True)
        out, _err = process.communicate(timeout=120)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, out
        del site.environment["DIES_BEFORE"]
        nothing_is_left_and_the_state_is_true(site)
        died += 1
    assert out.count("TASK [") == died
    assert died > 8, "the tasks of launch.yml, and those that add nodes"


DIES = """
import os, signal
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "dies"
    tasks = 0

    def v2_playbook_on_task_start(self, task, is_conditional):
        if str(self.tasks) == os.environ.get("DIES_BEFORE"):
            os.killpg(0, signal.SIGKILL)
        self.tasks += 1
"""


def nothing_is_left_and_the_state_is_true(site):
    """After recover.yml, and the launch's job, if it has got so far, has the end that it had."""
    found = site.jobs().get("ring")
    if found is not None:
        site.wait_until_nothing_runs(found)
    run = site.play("recover")
    assert run.rc == 0, run.out
    assert violations(site) == []
    after = site.jobs().get("ring")
    if after is None:
        assert found is None and site.table("leases") == [], "it died before it had asked for anything"
        return
    finished = [site.directory.glob(f"nodes/*/jobs/{after['id']}.1/rank-{rank}.log") for rank in range(4)]
    logs = [path.read_text() for paths in finished for path in paths]
    if logs.count("finished\n") == 4:
        assert (after["state"], site.table("leases")) == ("SUCCEEDED", [])
    else:
        assert after["state"] in ("ALLOCATED", "STARTING"), json.dumps(after)
        released = site.play("release", muster_release="ring")
        assert released.rc == 0, released.out
        assert (site.jobs()["ring"]["state"], site.table("leases")) == ("CANCELED", [])
    assert site.processes(after) == []
