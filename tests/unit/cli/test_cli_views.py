# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `muster status`, `nodes`, `jobs` and `job` show: to people, to scripts, to programs."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster, Outcome
from muster.model import parse, utc_now
from muster.store import DirectoryStore

from tests.unit.samples import Clock, facts, spec

from .conftest import Muster

FAILURE = {
    "rank": 3,
    "node": "gpu1",
    "exit_code": 3,
    "signal": None,
    "reason": "exit code 3",
    "error": "ValueError: [loss] is nan",
    "tail": ["\x1b[31mstep 1\x1b[0m", "step 2 [bold]"],
}


def epoch(job: Any) -> int:
    return int(job.attempt.epoch)


@pytest.fixture
def ids(location: Path) -> dict[str, str]:
    """A cluster with something of everything, an hour old; the jobs' ids by name."""
    clock = Clock()
    clock.now = utc_now() - timedelta(minutes=70)
    cluster = Cluster(DirectoryStore(location), actor="alice", clock=clock)
    racks = {"gpu1": "a", "gpu2": "a", "gpu3": "b", "gpu4": "b"}
    cluster.sync_nodes(
        [facts(name, gpu=4, labels={"topology": f"rack-{rack}", "disk": "nvme"}) for name, rack in racks.items()]
        + [facts("login", slots=2)]
    )
    found = {}
    for name, size, outcome in (
        ("done", {"nodes": 2}, Outcome("SUCCEEDED")),
        ("bad", {"nodes": 2, "gpus_per_node": 3}, Outcome("FAILED", "rank 3 failed first: exit code 3", FAILURE)),
        ("ring", {"gpus": 2}, None),
    ):
        job, plan = cluster.allocate(spec(name=name, env={"HF_TOKEN": "hf_abc"}, cwd="/data", **size))
        cluster.starting(job.id, epoch(job))
        clock.passes(2)
        cluster.running(job.id, epoch(job))
        clock.passes(90)
        if outcome is not None:
            cluster.finish(job.id, epoch(job), outcome, cleared=[part.node for part in plan.nodes])
        found[name] = job.id
        clock.passes(1)
    found["later"] = cluster.submit(spec(name="later", slots=1)).id
    cluster.drain(["gpu3"], reason="fan broken")
    cluster.contacted([], {"gpu4": "no route to gpu4"})
    return found


def rows(text: str) -> list[list[str]]:
    """A plain table taken apart: columns are two spaces apart."""
    return [re.split(r" {2,}", line) for line in text.splitlines()]


class TestEmpty:
    @pytest.mark.parametrize("words", [["status"], ["nodes"]])
    def test_a_cluster_without_nodes_says_what_to_do_next(self, muster: Muster, words: list[str]) -> None:
        done = muster(*words)
        assert (done.returncode, done.stdout) == (0, "no nodes yet: run sync.yml\n")

    def test_a_cluster_without_jobs_says_what_to_do_next(self, muster: Muster) -> None:
        assert muster("jobs").stdout == "no jobs yet: run launch.yml -e @job.yml\n"

    @pytest.mark.parametrize("words", [["nodes"], ["jobs"]])
    def test_a_program_gets_an_empty_list(self, muster: Muster, words: list[str]) -> None:
        assert json.loads(muster(*words, "--json").stdout) == []

    def test_looking_makes_nothing(self, muster: Muster, location: Path) -> None:
        muster("status")
        muster("nodes", "--json")
        assert not location.exists()


class TestNodes:
    def test_a_script_gets_one_whole_line_a_node_however_narrow_the_terminal(
        self, muster: Muster, ids: dict[str, str]
    ) -> None:
        done = muster("nodes")
        assert "\x1b" not in done.stdout
        table = rows(done.stdout)
        assert table[0] == ["NODE", "STATUS", "FREE", "MODEL", "MEMORY", "LABELS", "JOBS", "LAST SEEN", "NOTE"]
        assert [row[0] for row in table[1:]] == ["login", "gpu1", "gpu2", "gpu3", "gpu4"]
        by_name = {row[0]: row[1:] for row in table[1:]}
        assert by_name["login"] == ["idle", "2/2 slots", "-", "-", "-", "-", "1 h ago", "-"]
        assert by_name["gpu1"] == [
            "mixed",
            "2/4 GPUs",
            "H100 80GB HBM3",
            "80 GiB",
            "disk=nvme, topology=rack-a",
            f"ring ({ids['ring']})",
            "1 h ago",
            "-",
        ]
        assert by_name["gpu3"][0] == "drained"
        assert re.fullmatch(r"fan broken \(alice, 1 h ago\)", by_name["gpu3"][-1])
        assert by_name["gpu4"][0] == "unreachable"
        assert re.fullmatch(r"no route to gpu4, 1 h ago", by_name["gpu4"][-1])

    def test_a_program_gets_every_field_and_times_in_utc(self, muster: Muster, ids: dict[str, str]) -> None:
        nodes = {node["name"]: node for node in json.loads(muster("nodes", "--json").stdout)}
        one = nodes["gpu1"]
        assert (one["status"], one["size"], one["free"], one["jobs"]) == ("mixed", 4, 2, [ids["ring"]])
        assert {"address", "labels", "gpus", "slots", "admin", "health", "last_seen", "boot_id"} <= one.keys()
        assert {"index", "uuid", "model", "memory_mib", "pci", "mig"} <= one["gpus"][0].keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one["last_seen"])
        assert (nodes["login"]["gpu_model"], nodes["login"]["gpu_memory_mib"]) == ("unknown", 0)


class TestJobs:
    def test_a_script_gets_one_whole_line_a_job_the_latest_last(self, muster: Muster, ids: dict[str, str]) -> None:
        table = rows(muster("jobs").stdout)
        assert table[0] == ["ID", "NAME", "STATE", "NODES", "RANKS", "SUBMITTED", "TOOK", "REASON"]
        assert [row[1] for row in table[1:]] == ["done", "bad", "ring", "later"]
        by_name = {row[1]: row for row in table[1:]}
        assert by_name["done"] == [ids["done"], "done", "SUCCEEDED", "gpu[1-2]", "8", "1 h ago", "1 min 30 s", "-"]
        assert by_name["bad"][2:5] == ["FAILED", "gpu[1-2]", "6"]
        assert by_name["bad"][7] == "rank 3 failed first: exit code 3"
        assert by_name["ring"][2:5] == ["RUNNING", "gpu1", "2"]
        assert by_name["later"][2:5] == ["QUEUED", "-", "-"]

    def test_only_the_active_ones_on_request(self, muster: Muster, ids: dict[str, str]) -> None:
        assert [job["id"] for job in json.loads(muster("jobs", "--active", "--json").stdout)] == [
            ids["ring"],
            ids["later"],
        ]

    def test_a_program_gets_every_field(self, muster: Muster, ids: dict[str, str]) -> None:
        jobs = {job["id"]: job for job in json.loads(muster("jobs", "--json").stdout)}
        bad = jobs[ids["bad"]]
        assert (bad["state"], bad["attempt"], bad["world_size"], bad["nodes"]) == ("FAILED", 1, 6, ["gpu1", "gpu2"])
        assert bad["failure"] == FAILURE
        assert parse(bad["ended_at"]) > parse(bad["started_at"]) > parse(bad["created_at"])

    def test_secrets_are_not_shown(self, muster: Muster, ids: dict[str, str]) -> None:
        for words in (["jobs", "--json"], ["job", "ring"], ["job", "ring", "--json"]):
            assert "hf_abc" not in muster(*words).stdout


class TestJob:
    @pytest.mark.parametrize("by", ["id", "name"])
    def test_a_page_tells_what_was_asked_for_the_ranks_and_the_failure(
        self, muster: Muster, ids: dict[str, str], by: str
    ) -> None:
        page = muster("job", ids["bad"] if by == "id" else "bad").stdout
        assert page.startswith(f"bad ({ids['bad']})  FAILED  rank 3 failed first: exit code 3\n")
        for line in (
            "command      python3 train.py",
            "directory    /data",
            "size         2 nodes, 3 GPUs each",
            "environment  HF_TOKEN='********'",
            "took         1 min 30 s",
            "Rank 3 on gpu1 failed first: exit code 3",
            "  ValueError: [loss] is nan",
            "  step 1",
            "  step 2 [bold]",
        ):
            assert line in page.splitlines()
        assert re.search(r"^6 ranks, meeting at 10\.0\.0\.1:2\d{4}$", page, re.MULTILINE)
        table = rows(page[page.index("NODE ") :])
        assert table[:3] == [
            ["NODE", "NODE RANK", "RANKS", "GPUS", "ADDRESS"],
            ["gpu1", "0", "0-2", "0-2", "10.0.0.1"],
            ["gpu2", "1", "3-5", "0-2", "10.0.0.1"],
        ]

    def test_a_job_that_waits_has_no_ranks_yet(self, muster: Muster, ids: dict[str, str]) -> None:
        page = muster("job", "later").stdout
        assert page.startswith(f"later ({ids['later']})  QUEUED\n")
        assert "size       1 slot" in page.splitlines()
        assert "NODE RANK" not in page

    def test_a_program_gets_the_job_itself(self, muster: Muster, ids: dict[str, str]) -> None:
        job = json.loads(muster("job", "ring", "--json").stdout)
        assert (job["id"], job["state"]) == (ids["ring"], "RUNNING")
        assert job["attempts"][0]["plan"]["world_size"] == 2


class TestStatus:
    def test_the_cluster_at_one_glance(self, muster: Muster, location: Path, ids: dict[str, str]) -> None:
        text = muster("status").stdout
        for line in (
            "Nodes  2 idle, 1 mixed, 1 drained, 1 unreachable",
            "GPUs   6/8 free",
            "Slots  2/2 free",
            "Jobs   1 QUEUED, 1 RUNNING, 1 SUCCEEDED, 1 FAILED",
            "2 nodes out of service",
        ):
            assert line in text.splitlines()
        assert text.startswith(f"Store  {location} (change ")
        assert ids["ring"] in text
        assert ids["done"] not in text, "what has ended is not what goes on"
        assert "fan broken" in text

    def test_a_program_gets_the_counts(self, muster: Muster, location: Path, ids: dict[str, str]) -> None:
        told = json.loads(muster("status", "--json").stdout)
        assert told["store"] == str(location)
        assert told["nodes"] == {"total": 5, "idle": 2, "mixed": 1, "drained": 1, "unreachable": 1}
        assert (told["gpus"], told["slots"]) == ({"size": 8, "free": 6}, {"size": 2, "free": 2})
        assert told["jobs"] == {"total": 4, "SUCCEEDED": 1, "FAILED": 1, "RUNNING": 1, "QUEUED": 1}
        assert told["active"] == [ids["ring"], ids["later"]]
        assert told["out_of_service"] == {"gpu3": "drained", "gpu4": "unreachable"}


class TestVerify:
    def test_what_agrees_is_counted(self, muster: Muster, ids: dict[str, str]) -> None:
        told = muster("verify")
        assert (told.returncode, told.stderr) == (0, "")
        assert re.fullmatch(r"consistent at serial \d+: 5 nodes, 4 jobs, 1 lease\n", told.stdout)
        assert json.loads(muster("verify", "--json").stdout)["violations"] == []

    def test_what_does_not_is_told_with_what_mends_it(
        self, muster: Muster, location: Path, ids: dict[str, str]
    ) -> None:
        with DirectoryStore(location).transaction(who="somebody", why="by hand") as draft:
            draft.remove("leases", [row["id"] for row in draft.all("leases")])
        told, programs = muster("verify"), muster("verify", "--json")
        message = f"job {ids['ring']} is RUNNING and holds no lease on gpu1"
        repair = f"release.yml -e muster_release={ids['ring']}"
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr == f"muster: {message} (to mend it: {repair})\n"
        assert programs.returncode == 1
        (found,) = json.loads(programs.stdout)["violations"]
        assert found == {"rule": "live job without a lease", "message": message, "repair": repair}

    def test_where_nothing_is_that_is_said(self, muster: Muster) -> None:
        assert (muster("verify").returncode, muster("verify").stdout) == (0, "no nodes yet: run sync.yml\n")


def test_a_person_at_a_terminal_gets_colours_and_bars(environment: dict[str, str], ids: dict[str, str]) -> None:
    """Over a real pseudo-terminal."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "muster.cli", "nodes"],
        env=environment | {"COLUMNS": "120"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(controller, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(controller)
    assert process.wait() == 0
    text = shown.decode()
    assert "\x1b[32midle" in text
    assert "\x1b[1;31munreachable" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "━━━━━━━━ 2/4 GPUs" in plain
    assert "gpu3 drained: fan broken (alice, " in plain
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 120


def test_colours_can_be_had_and_refused(muster: Muster, ids: dict[str, str]) -> None:
    assert "\x1b[32m" in muster("nodes", FORCE_COLOR="1").stdout
    assert "\x1b[32m" not in muster("nodes", FORCE_COLOR="1", NO_COLOR="1").stdout


def test_a_terminal_that_cannot_show_a_letter_gets_another(muster_process: Muster, location: Path) -> None:
    cluster = Cluster(DirectoryStore(location), actor="alice")
    cluster.sync_nodes([facts("n1", labels={"site": "Zürich"})])
    done = muster_process("nodes", PYTHONIOENCODING="ascii", FORCE_COLOR="1", COLUMNS="120")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Z?rich" in done.stdout
