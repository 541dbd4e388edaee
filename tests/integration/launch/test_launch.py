# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on one machine: an inventory becomes nodes, a job gets slots and ranks, runs, ends, and all is free."""

from __future__ import annotations

import re

import pytest
from muster.store import Database

from tests.lab.command import wait_until

PRINT_ENVIRONMENT = ["sh", "-c", "env | sort"]
SLEEP = ["sleep", "600"]


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def environment(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_a_fresh_site_needs_nothing_but_launch(site):
    run = site.play(
        "launch", job={"name": "env", "command": PRINT_ENVIRONMENT, "nodes": 3, "env": {"OMP_NUM_THREADS": 4}}
    )
    assert run.rc == 0, run.out
    job = site.jobs()["env"]
    assert job["state"] == "SUCCEEDED"
    assert site.table("leases") == []
    assert {
        node["name"]: (node["slots"], node["gpu_model"], node["gpu_memory_mib"]) for node in site.table("nodes")
    } == {
        "n1": (2, "unknown", 0),
        "n2": (1, "unknown", 0),
        "n3": (1, "unknown", 0),
    }
    ranks = [environment(site.log(job, rank)) for rank in range(4)]
    plan = job["attempts"][0]["plan"]
    assert [(r["RANK"], r["LOCAL_RANK"], r["NODE_RANK"], r["GROUP_RANK"]) for r in ranks] == [
        ("0", "0", "0", "0"),
        ("1", "1", "0", "0"),
        ("2", "0", "1", "1"),
        ("3", "0", "2", "2"),
    ]
    assert [r["LOCAL_WORLD_SIZE"] for r in ranks] == ["2", "2", "1", "1"]
    for number, found in enumerate(ranks):
        assert found["WORLD_SIZE"] == "4"
        assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("127.0.0.1", str(plan["master_port"]))
        assert 20000 <= int(found["MASTER_PORT"]) < 30000
        assert (found["CUDA_DEVICE_ORDER"], found["CUDA_VISIBLE_DEVICES"]) == ("PCI_BUS_ID", "")
        assert (found["NCCL_SOCKET_IFNAME"], found["GLOO_SOCKET_IFNAME"]) == ("lo", "lo")
        assert found["OMP_NUM_THREADS"] == "4", "a job's own env wins"
        assert found["TORCHELASTIC_ERROR_FILE"].endswith(f"error-{number}.json")
        assert (found["MUSTER_JOB_ID"], found["MUSTER_ATTEMPT"]) == (job["id"], "1")
        assert found["MUSTER_EPOCH"] == str(job["attempts"][0]["epoch"])


def test_nobody_overrides_who_a_rank_belongs_to(site):
    run = site.play(
        "launch", job={"name": "liar", "command": PRINT_ENVIRONMENT, "nodes": 1, "env": {"MUSTER_JOB_ID": "x"}}
    )
    assert run.rc == 0, run.out
    job = site.jobs()["liar"]
    assert environment(site.log(job, 0))["MUSTER_JOB_ID"] == job["id"]


def test_a_second_launch_of_a_finished_job_is_a_new_run(site):
    for _launch in range(2):
        assert site.play("launch", job={"name": "again", "command": ["true"], "slots": 2}).rc == 0
    first, second = site.table("jobs")
    assert first["name"] == second["name"] == "again"
    assert first["id"] < second["id"]
    assert first["attempts"][0]["epoch"] < second["attempts"][0]["epoch"]


@pytest.mark.parametrize(
    ("script", "limit", "cause"),
    [
        ("echo before; [ $RANK = 2 ] && exit 3; sleep 600", None, "rank 2 on n2 failed first: exit code 3"),
        ("echo before; [ $RANK = 3 ] && kill -9 $$; sleep 600", None, "rank 3 on n3 failed first: killed by SIGKILL"),
        ("echo before; sleep 600", 5, "the time limit of 5 s reached"),
    ],
    ids=["exit code", "signal", "time limit"],
)
def test_a_failure_is_named_and_nothing_stays(site, script, limit, cause):
    job = {"name": "bad", "command": shell(script), "nodes": 3, "grace_s": 2}
    run = site.play("launch", job=job | ({"time_limit_s": limit} if limit else {}))
    assert run.rc != 0
    assert cause in run.out
    assert re.search(r"last lines of rank \d on n\d:\s+before", run.out), run.out
    ended = site.jobs()["bad"]
    assert (ended["state"], ended["reason"]) == ("FAILED", cause)
    assert site.table("leases") == []
    assert site.processes(ended) == []


def test_a_launch_that_does_not_wait_returns_when_all_ranks_run_and_release_ends_them(site):
    run = site.play("launch", job={"name": "long", "command": SLEEP, "nodes": 3}, muster_wait="false")
    assert run.rc == 0, run.out
    job = site.jobs()["long"]
    assert job["state"] == "RUNNING"
    assert len(site.table("leases")) == 3
    wait_until(lambda: len(site.processes(job)) >= 4, 60, "all ranks are there")
    released = site.play("release", muster_release="long")
    assert released.rc == 0, released.out
    assert site.jobs()["long"]["state"] == "CANCELED"
    assert site.table("leases") == []
    assert site.processes(job) == []


def test_release_without_a_job_settles_what_is_over_and_leaves_what_runs(site):
    assert site.play("launch", job={"name": "stays", "command": SLEEP, "slots": 1}, muster_wait=False).rc == 0
    assert site.play("launch", job={"name": "over", "command": ["true"], "slots": 1}, muster_wait=False).rc == 0
    site.wait_until_nothing_runs(site.jobs()["over"])
    run = site.play("release")
    assert run.rc == 0, run.out
    assert site.jobs()["over"]["state"] == "SUCCEEDED"
    assert site.jobs()["stays"]["state"] == "RUNNING"
    assert [lease["job"] for lease in site.table("leases")] == [site.jobs()["stays"]["id"]]


def test_a_job_that_ended_unwatched_stands_in_nobodys_way(site):
    assert site.play("launch", job={"name": "over", "command": ["true"], "nodes": 3}, muster_wait=False).rc == 0
    run = site.play("launch", job={"name": "next", "command": ["true"], "nodes": 3}, muster_wait_for_capacity_s=60)
    assert run.rc == 0, run.out
    assert {name: job["state"] for name, job in site.jobs().items()} == {"over": "SUCCEEDED", "next": "SUCCEEDED"}
    assert site.table("leases") == []


def test_a_job_that_does_not_fit_now_is_told_who_holds_the_rest_and_may_wait(site):
    assert site.play("launch", job={"name": "first", "command": SLEEP, "nodes": 3}, muster_wait=False).rc == 0
    run = site.play("launch", job={"name": "second", "command": ["true"], "slots": 1})
    assert run.rc != 0
    assert "0 of 4 are free" in run.out
    assert f"held by first ({site.jobs()['first']['id']})" in run.out.replace("\n", " ")
    assert "second" not in site.jobs()
    waiting = site.popen(
        "launch", job={"name": "second", "command": ["true"], "slots": 1}, muster_wait_for_capacity_s="60"
    )
    assert site.play("release", muster_release="first").rc == 0
    out, _err = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, out
    assert site.jobs()["second"]["state"] == "SUCCEEDED"


def test_secrets_reach_the_rank_and_nothing_else(site):
    secret = "hunter2-and-more"
    job = {
        "name": "quiet",
        "command": shell("echo got $(printf %s $WANDB_API_KEY | wc -c)"),
        "slots": 1,
        "env": {"WANDB_API_KEY": secret},
    }
    run = site.play("launch", "--diff", job=job)
    assert run.rc == 0, run.out
    assert site.log(site.jobs()["quiet"], 0).strip() == f"got {len(secret)}"
    assert secret not in run.out
    assert not [
        name for name, content in site.content().items() if name.startswith("state/") and secret.encode() in content
    ]


def test_a_second_sync_changes_nothing(site):
    first, second = site.play("sync"), site.play("sync")
    assert (first.rc, second.rc) == (0, 0)
    assert re.search(r"changed=[1-9]", first.out)
    assert re.findall(r"changed=(\d+)", second.out) == ["0"]


def test_sync_purges_nodes_that_left_the_inventory_unless_they_hold_a_lease(site):
    assert site.play("sync").rc == 0
    with Database(site.store) as db:
        db.table("nodes").insert({**site.table("nodes")[0], "name": "n9"})
    assert site.play("sync").rc == 0
    assert "n9" in {node["name"] for node in site.table("nodes")}, "without purge nothing is forgotten"
    assert site.play("sync", muster_purge=True).rc == 0
    assert {node["name"] for node in site.table("nodes")} == {"n1", "n2", "n3"}


@pytest.mark.parametrize("playbook", ["site", "provision", "sync", "launch", "release", "recover"])
def test_check_mode_changes_not_a_byte(site, playbook):
    job = {"name": "try", "command": ["true"], "nodes": 3}
    before = site.content()
    run = site.play(playbook, "--check", "--diff", job=job)
    assert run.rc == 0, run.out
    assert site.content() == before, "on a site that nobody has touched"
    assert site.play("launch", job=job).rc == 0
    before = site.content()
    run = site.play(playbook, "--check", "--diff", job=job)
    assert run.rc == 0, run.out
    assert site.content() == before, "on a site with nodes and jobs"


def test_limit_narrows_where_a_job_may_go(site):
    run = site.play("launch", "--limit", "n2,n3", job={"name": "narrow", "command": ["true"], "nodes": 2})
    assert run.rc == 0, run.out
    assert site.jobs()["narrow"]["attempts"][0]["plan"]["world_size"] == 2
    assert {node["name"] for node in site.table("nodes")} == {"n2", "n3"}


def test_tags_choose_the_steps_of_site(site):
    run = site.play("site", "--tags", "provision")
    assert run.rc == 0, run.out
    assert not (site.store / "state.json").exists()
    assert list(site.directory.glob("nodes/*/bin/muster-agent.pyz"))
