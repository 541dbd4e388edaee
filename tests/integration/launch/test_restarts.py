# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job that may be restarted: by the launch that waits for it, and by recover.yml where none does."""

from __future__ import annotations

import re

from tests.lab.command import wait_until

ONCE = ["sh", "-c", "[ $MUSTER_ATTEMPT = 2 ] && echo $API_TOKEN | wc -c && exit 0; [ $RANK = 2 ] && exit 7; sleep 600"]
JOB = {"name": "again", "command": ONCE, "nodes": 3, "grace_s": 1, "max_restarts": 1, "env": {"API_TOKEN": "hush"}}


def test_a_launch_that_waits_starts_it_again_and_says_so(site):
    run = site.play("launch", job=JOB)
    assert run.rc == 0, run.out
    job = site.jobs()["again"]
    failure = "rank 2 on n2 failed first: exit code 7"
    assert f"again ({job['id']}) attempt 1 FAILED: {failure}; restart 1 of 1" in run.out
    assert f"again {job['id']} SUCCEEDED after 1 restart in " in run.out
    assert [(one["state"], one["reason"]) for one in job["attempts"]] == [("FAILED", failure), ("SUCCEEDED", "")]
    assert (site.log(job, 0), site.table("leases")) == ("5\n", []), "it has its secrets again"


def test_a_restart_that_is_not_possible_ends_the_job_and_says_why(site):
    data = site.directory / "data"
    data.mkdir()
    run = site.play(
        "launch",
        job=JOB | {"command": ["sh", "-c", f"rm -r {data}; exit 7"], "cwd": str(data), "nodes": 1, "slots_per_node": 1},
    )
    assert run.rc != 0
    job = site.jobs()["again"]
    assert job["state"] == "FAILED"
    assert re.search(r"failed first: exit code 7; not restarted: .*data does not exist", job["reason"])
    assert job["reason"] in run.out.replace("\n", " ")
    assert site.table("leases") == []


def test_recover_starts_again_what_nobody_waits_for(site):
    job = JOB | {"env": {}, "command": ["sh", "-c", "[ $MUSTER_ATTEMPT = 1 ] && exit 7; sleep 600"], "nodes": 1}
    assert site.play("launch", job=job, muster_wait=False).rc == 0
    site.wait_until_nothing_runs(site.jobs()["again"])
    foreseen = site.play("recover", "--check")
    assert "would be started again" in foreseen.out, foreseen.out
    assert site.jobs()["again"]["state"] == "RUNNING"
    run = site.play("recover")
    assert run.rc == 0, run.out
    assert re.search(r"again \(\w+\) +n\d +rank \d on n\d failed first: exit code 7 +is QUEUED, 1 of 1 leases", run.out)
    assert re.search(r"again \(\w+\) +n\d +attempt 1 FAILED: .* +runs again \(restart 1 of 1\)", run.out)
    wait_until(lambda: site.processes(site.jobs()["again"]) != [], 60, "its rank is there")
    again = site.play("recover")
    assert re.search(r"changed=0 .*failed=0", again.out), again.out
    assert site.play("release", muster_release="again").rc == 0
    assert (site.jobs()["again"]["state"], site.table("leases")) == ("CANCELED", [])


def test_recover_cannot_start_again_what_needs_its_secrets(site):
    assert site.play("launch", job=JOB | {"command": ["sh", "-c", "exit 7"]}, muster_wait=False).rc == 0
    site.wait_until_nothing_runs(site.jobs()["again"])
    run = site.play("recover")
    assert run.rc == 0, run.out
    job = site.jobs()["again"]
    assert job["state"] == "FAILED"
    assert "not restarted: the state does not keep the value of API_TOKEN" in job["reason"]
