# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching nodes where systemd does not run: monitor.yml, health.yml, `muster health`, `muster daemon`; no root."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest

QUICK = {"interval_s": 2, "hurry_s": 1, "checks": {"os.clock": {"enabled": False}, "disk.free": {"enabled": False}}}
FULL = {**QUICK, "checks": {**QUICK["checks"], "disk.free": {"warning": 10**9, "critical": 10**9, "fail_after": 1}}}


@pytest.fixture
def watched(site):
    """Its nodes are in the state; no monitor is left at the end."""
    assert site.play("sync").rc == 0
    yield site
    assert site.play("monitor", muster_monitor_state="absent").rc == 0


def muster(site, *words):
    command = [sys.executable, "-m", "muster.cli", *words]
    done = subprocess.run(command, env=site.environment, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def left_behind(node, state_dir):
    """A process of a job that nobody knows."""
    markers = {"MUSTER_JOB_ID": "0gone000", "MUSTER_ATTEMPT": "1", "MUSTER_NODE": node}
    with subprocess.Popen(["sleep", "600"], env=markers | {"MUSTER_STATE_DIR": str(state_dir)}) as process:
        try:
            yield
        finally:
            process.kill()


def changed(run):
    return "changed=0" not in run.out.split("PLAY RECAP")[1].splitlines()[1]


def test_monitors_are_set_up_once_and_say_how_the_nodes_are(watched):
    agent = watched.directory / "nodes" / "n3" / "bin" / "muster-agent.pyz"
    agent.rename(agent.with_suffix(".away"))
    foreseen = watched.play("monitor", "--check", "--diff", muster_health=QUICK)
    assert foreseen.rc == 0, foreseen.out
    assert "n1: its settings are written, it is started" in foreseen.out
    assert "n3 would get the agent first" in foreseen.out
    assert '+  "interval_s": 2,' in foreseen.out
    assert not list(watched.directory.glob("nodes/*/agent.json")), "it is only said"
    first = watched.play("monitor", muster_health=QUICK)
    assert first.rc == 0, first.out
    assert changed(first)
    assert not changed(watched.play("monitor", muster_health=QUICK))
    told = watched.play("monitor", muster_health=QUICK, muster_alert_command=["/bin/true"])
    assert told.rc == 0, told.out
    settings = [json.loads(path.read_text()) for path in watched.directory.glob("nodes/*/agent.json")]
    assert [one["alert_command"] for one in settings] == [["/bin/true"]] * 3
    entered = watched.play("health", muster_health_source="daemon")
    assert entered.rc == 0, entered.out
    assert {(node["health"]["state"], node["health"]["source"]) for node in watched.table("nodes")} == {
        ("healthy", "daemon")
    }
    assert not changed(watched.play("health"))
    rc, out = muster(watched, "daemon", "status")
    assert (rc, out.count("running")) == (0, 3), out
    rc, out = muster(watched, "daemon", "stop", "n2")
    assert (rc, out.count("stopped")) == (0, 1), out
    rc, out = muster(watched, "daemon", "status", "--json")
    assert {one["node"]: bool(one["pid"]) for one in json.loads(out)} == {"n1": True, "n2": False, "n3": True}
    silent = watched.play("health", muster_health_source="daemon", muster_health_fail_on=["unknown"])
    assert silent.rc != 0
    assert "1 node of 3 cannot be used: n2 is unknown: the monitor does not run" in " ".join(silent.out.split())
    refused = watched.play("launch", job={"name": "all", "command": ["true"], "nodes": 3})
    assert refused.rc != 0
    assert "n2 (unknown)" in " ".join(refused.out.split())


def test_a_node_that_is_unhealthy_gets_no_job_until_it_is_well(watched):
    assert watched.play("monitor", muster_health=FULL).rc == 0
    rc, out = muster(watched, "health")
    assert rc == 1
    assert out.count("unhealthy") == 3, out
    assert "make room: ranks write their logs and checkpoints there" in out
    refused = watched.play("launch", job={"name": "early", "command": ["true"], "slots": 1})
    assert refused.rc != 0
    assert "the node is unhealthy: " in " ".join(refused.out.split()), "its own monitor knows"
    entered = watched.play("health")
    assert entered.rc == 0, entered.out
    assert "n1 is drained: " in entered.out
    assert "too many at once to drain n2, n3 as well: is it a check that is wrong?" in " ".join(entered.out.split())
    late = watched.play("launch", job={"name": "late", "command": ["true"], "slots": 1})
    assert late.rc != 0
    assert "(unhealthy)" in late.out, "the state knows"
    rc, out = muster(watched, "nodes")
    assert "GB are free below" in out
    rc, out = muster(watched, "health", "n1")
    assert rc == 1
    assert "disk.free" in out
    assert "not looked at here: gpu.count" in out
    assert watched.play("monitor", muster_health=QUICK).rc == 0
    entered = watched.play("health", muster_health_source="live")
    assert entered.rc == 0, entered.out
    assert "n1 is well, and offered again" in entered.out
    done = watched.play("launch", job={"name": "now", "command": ["true"], "slots": 1}, muster_preflight=False)
    assert done.rc == 0, done.out


def test_settings_that_are_wrong_change_nothing_anywhere(watched):
    wrong = watched.play("monitor", muster_health={"interval": 5, "checks": {"gpu.warmth": {}}})
    assert wrong.rc != 0
    said = " ".join(wrong.out.split())
    assert "n1, n2, n3: the settings of the node's health are wrong: interval: there is no such key" in said
    assert "checks.gpu.warmth: there is no such check" in said
    assert not list(watched.directory.glob("nodes/*/agent.json"))
    wrong = watched.play("monitor", muster_health="no")
    assert "muster_health must be a mapping, not 'no'" in wrong.out


def test_nodes_that_are_not_there_are_named(watched):
    rc, out = muster(watched, "health", "n9")
    assert rc == 1
    assert "node n9 is not in the state" in out
    rc, out = muster(watched, "health", "--clear", "all")
    assert rc == 2
    assert "--clear wants exactly one NODE" in out


def test_nodes_are_drained_for_a_reason_and_resumed(watched):
    drained = watched.play("drain", muster_nodes=["n1"], muster_reason="a fan is replaced")
    assert drained.rc == 0, drained.out
    assert not changed(watched.play("drain", muster_nodes=["n1"], muster_reason="a fan is replaced"))
    _rc, out = muster(watched, "nodes")
    assert "a fan is replaced" in out
    assert watched.play("health").rc == 0
    assert {node["name"]: node["admin"]["state"] for node in watched.table("nodes")}["n1"] == "draining"
    assert watched.play("resume", muster_nodes=["n1"]).rc == 0
    assert {node["admin"]["state"] for node in watched.table("nodes")} == {"enabled"}
    for playbook, wrong in (("drain", {}), ("drain", {"muster_nodes": ["n1"]}), ("resume", {"muster_nodes": "n1"})):
        refused = watched.play(playbook, **wrong)
        assert refused.rc != 0
        assert "give muster_nodes, a list of names" in " ".join(refused.out.split())


def test_a_node_that_does_not_answer_keeps_what_was_found_of_it(watched):
    assert watched.play("monitor", muster_health=QUICK).rc == 0
    assert watched.play("health").rc == 0
    (watched.directory / "nodes" / "n2" / "bin" / "muster-agent.pyz").write_text("raise SystemExit(1)")
    silent = watched.play("health", "--check", muster_health_fail_on=["unknown"])
    assert silent.rc != 0
    kept = {node["name"]: node["health"]["state"] for node in watched.table("nodes")}
    assert kept == dict.fromkeys(kept, "healthy")
    _rc, out = muster(watched, "health")
    assert "the agent was put on n2, where it was missing or another" in out
    assert not changed(watched.play("health"))


def test_verify_says_by_node_and_fact_what_is_wrong_and_changes_nothing(watched):
    silent = watched.play("verify", muster_health=QUICK)
    assert silent.rc == 2
    said = " ".join(silent.out.split())
    assert "3 nodes of 3 not as they are to be: n1: monitor_running; n2: monitor_running; n3: monitor_running" in said
    assert "no monitor runs: `muster daemon start n2`, or monitor.yml" in said
    assert watched.play("monitor", muster_health=QUICK).rc == 0
    with left_behind("n1", "/another/cluster"):
        well = watched.play("verify", "-v", muster_health=QUICK)
    assert well.rc == 0, well.out
    assert "3 nodes as they are to be" in well.out
    assert not changed(well)
    with left_behind("n1", watched.directory / "nodes" / "n1"):
        found = watched.play("verify", muster_health={**QUICK, "hurry_s": 2})
    said = " ".join(found.out.split())
    facts = "n1: monitor_settings, no_orphan_rank; n2: monitor_settings; n3: monitor_settings"
    assert f"3 nodes of 3 not as they are to be: {facts}" in said
    assert "its settings differ from the inventory's in hurry_s: run monitor.yml" in said


def test_verify_runs_the_tests_of_the_user_too(watched):
    own = watched.directory / "test_ours.py"
    own.write_text("def test_ours(host):\n    assert host.file('/etc/ours').exists, 'ours is missing'\n")
    found = watched.play("verify", muster_verify_tests=[str(own)])
    assert found.rc == 2
    assert "n3: monitor_running, ours.ours" in found.out
    assert "ours is missing" in found.out
    own.write_text("def test_ours(host)\n")
    broken = watched.play("verify", muster_verify_tests=[str(own)])
    assert broken.rc == 2
    assert "the tests cannot be run: " in broken.out
    assert "test_ours.py" in broken.out
    absent = watched.play("verify", muster_verify_tests=["/no/such/tests"])
    assert "there are no tests at /no/such/tests" in absent.out
    unwritten = watched.play("verify", muster_verify_junit="/no/such/place.xml")
    assert "you cannot write /no/such/place.xml" in unwritten.out
