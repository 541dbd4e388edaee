# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`muster logs` on real jobs: real agents and ranks, on a node that is this machine and on one behind a real sshd."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from muster.cluster import Cluster
from muster.gang import Means, NotStarted, follow_with_restarts
from muster.model import Job
from muster.store import DirectoryStore

from tests.unit.samples import facts, spec

from .conftest import Muster, Running


@pytest.fixture
def follower(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `muster logs --follow` as a process of its own."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "muster.cli", "logs", "--follow", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def written(muster: Muster, count: int = 15) -> list[str]:
    """The lines of all ranks, once there are as many as are to come."""
    for _attempt in range(100):
        lines = muster("logs", "ring").stdout.splitlines()
        if len(lines) >= count:
            return lines
    raise AssertionError(f"the ranks have written only {lines}")


def read_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """The next lines of a process; it is killed if they do not come."""
    assert process.stdout is not None
    guard = threading.Timer(60, process.kill)
    guard.start()
    try:
        return [process.stdout.readline() for _ in range(count)]
    finally:
        guard.cancel()


def test_the_last_lines_of_every_rank_in_their_order_each_with_its_prefix(
    muster: Muster, launch: Callable[..., Running]
) -> None:
    launch()
    assert written(muster) == [
        f"[rank {rank}] line {number} of rank {rank}" for rank in range(3) for number in range(5)
    ]
    done = muster("logs", "ring", "--lines", "1")
    assert done.stdout.splitlines() == [f"[rank {rank}] line 4 of rank {rank}" for rank in range(3)]
    assert (done.returncode, done.stderr) == (0, "")


def test_one_rank_alone_is_shown_as_it_wrote(muster: Muster, launch: Callable[..., Running]) -> None:
    launch()
    written(muster)
    for rank in (1, 2):
        lines = muster("logs", "ring", "--rank", str(rank), "--lines", "2").stdout.splitlines()
        assert lines == [f"line 3 of rank {rank}", f"line 4 of rank {rank}"]
    done = muster("logs", "ring", "--rank", "3")
    assert done.returncode == 1
    assert done.stderr.endswith("has no rank 3: its ranks are 0 to 2\n")


def test_a_program_gets_the_lines_with_their_rank_and_node(muster: Muster, launch: Callable[..., Running]) -> None:
    running = launch()
    written(muster)
    logs = json.loads(muster("logs", running.job.id, "--json").stdout)
    assert [(log["rank"], log["node"]) for log in logs] == [(0, "n1"), (1, "n1"), (2, "n2")]
    assert logs[2]["lines"][-1] == "line 4 of rank 2"
    assert Path(logs[2]["log"]).name == "rank-2.log"


def test_what_has_ended_can_still_be_read_whole(
    muster: Muster, launch: Callable[..., Running], follower: Callable[..., subprocess.Popen[str]]
) -> None:
    running = launch()
    running.may_end()
    follower("ring").communicate(timeout=60)
    lines = muster("logs", "ring", "--lines", "all").stdout.splitlines()
    assert len(lines) == 21
    assert "[rank 2] rank 2 says naïve \x1b[31mbye\x1b[0m" in lines, "byte for byte"
    assert lines[-1] == "[rank 2] no newline at the end"


def test_following_shows_lines_as_they_come_and_ends_with_the_job(
    launch: Callable[..., Running], follower: Callable[..., subprocess.Popen[str]], muster: Muster
) -> None:
    running = launch()
    written(muster)
    process = follower("ring", "--lines", "2")
    first = read_lines(process, 6)
    assert sorted(first) == [f"[rank {rank}] line {number} of rank {rank}\n" for rank in range(3) for number in (3, 4)]
    assert process.poll() is None, "the job goes on, and so does its follower"
    running.may_end()
    rest, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert sorted(rest.splitlines()) == sorted(
        line
        for rank in range(3)
        for line in (f"[rank {rank}] rank {rank} says naïve \x1b[31mbye\x1b[0m", f"[rank {rank}] no newline at the end")
    )


@pytest.mark.parametrize("rank", [0, 2])
def test_one_rank_can_be_followed_alone(
    launch: Callable[..., Running], follower: Callable[..., subprocess.Popen[str]], muster: Muster, rank: int
) -> None:
    running = launch()
    written(muster)
    process = follower("ring", "--rank", str(rank), "--lines", "1")
    assert read_lines(process, 1) == [f"line 4 of rank {rank}\n"]
    running.may_end()
    rest, _said = process.communicate(timeout=60)
    assert rest == f"rank {rank} says naïve \x1b[31mbye\x1b[0m\nno newline at the end\n"


def test_ctrl_c_ends_the_following_and_not_the_job(
    launch: Callable[..., Running], follower: Callable[..., subprocess.Popen[str]], muster: Muster
) -> None:
    launch()
    written(muster)
    process = follower("ring")
    read_lines(process, 15)
    process.send_signal(signal.SIGINT)
    _rest, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ""
    assert len(written(muster)) == 15


def test_a_reader_who_leaves_ends_the_following(
    launch: Callable[..., Running], follower: Callable[..., subprocess.Popen[str]], muster: Muster
) -> None:
    """`muster logs --follow | head`: the next line that comes finds nobody."""
    running = launch()
    written(muster)
    process = follower("ring")
    read_lines(process, 15)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    running.may_end()
    assert process.stderr.read() == ""
    process.wait(timeout=60)
    process.stdout = None


def test_a_node_that_does_not_answer_is_said_and_the_others_are_shown(
    muster: Muster, launch: Callable[..., Running]
) -> None:
    running = launch()
    written(muster)
    n2 = next(node for node in running.cluster.view().nodes if node["name"] == "n2")
    connection = n2["connection"] | {"port": 1}
    running.cluster.sync_nodes(
        [facts("n2", slots=1, address="127.0.0.1", state_dir=n2["state_dir"], connection=connection)]
    )
    for words in (["logs", "ring"], ["logs", "ring", "--follow", "--rank", "2"]):
        done = muster(*words)
        assert done.returncode == 1
        assert done.stderr.startswith("muster: n2 (127.0.0.1:1) refused the connection")
        assert done.stderr.count("\n") == 1
    assert muster("logs", "ring").stdout.count("[rank 0]") == 5


def test_the_one_log_of_a_torchrun_stands_for_all_its_ranks(
    muster: Muster, launch: Callable[..., Running], follower: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """With a torchrun that only says which node it is on."""
    torchrun = tmp_path / "bin" / "torchrun"
    torchrun.parent.mkdir()
    torchrun.write_text('#!/bin/sh\necho "node $NODE_RANK starts $LOCAL_WORLD_SIZE ranks"\n')
    torchrun.chmod(0o755)
    launch(command=["./train"], launcher="torchrun", env={"PATH": f"{torchrun.parent}:/usr/bin:/bin"})
    first, second = "node 0 starts 2 ranks", "node 1 starts 1 ranks"
    lines, _said = follower("ring").communicate(timeout=60)
    assert sorted(lines.splitlines()) == [f"[rank 0] {first}", f"[rank 2] {second}"]
    assert muster("logs", "ring").stdout == f"[rank 0] {first}\n[rank 2] {second}\n"
    assert muster("logs", "ring", "--rank", "1").stdout == f"{first}\n"
    assert muster("logs", "ring", "--rank", "2").stdout == f"{second}\n"


class TestRefusals:
    @pytest.fixture
    def cluster(self, location: Path) -> Cluster:
        cluster = Cluster(DirectoryStore(location), actor="alice")
        cluster.sync_nodes([facts("n1", slots=2)])
        return cluster

    def test_a_job_that_waits_has_written_nothing(self, muster: Muster, cluster: Cluster) -> None:
        job = cluster.submit(spec(slots=1))
        done = muster("logs", "ring")
        assert (done.returncode, done.stderr) == (1, f"muster: job {job.id} is QUEUED and has written nothing yet\n")

    def test_a_node_without_a_way_to_it_is_said(self, muster: Muster, cluster: Cluster) -> None:
        cluster.allocate(spec(slots=1))
        done = muster("logs", "ring")
        assert done.returncode == 1
        assert (
            done.stderr == "muster: n1: a node's record holds no target to connect to (run the sync playbook again)\n"
        )

    def test_a_node_that_left_the_state_is_said(self, muster: Muster, cluster: Cluster) -> None:
        job, _plan = cluster.allocate(spec(slots=1))
        cluster.release(job.id, cleared=["n1"])
        cluster.remove_nodes(["n1"])
        done = muster("logs", "ring")
        assert (done.returncode, done.stderr) == (1, "muster: n1 is not in the state any more\n")


class TestAttempts:
    @pytest.fixture
    def restarted(self, launch: Callable[..., Running], location: Path, muster: Muster) -> str:
        """The id of a job whose first attempt failed, and whose second ended well."""
        script = "echo attempt $MUSTER_ATTEMPT of rank $RANK; [ $MUSTER_ATTEMPT = 2 ] || exit 7"
        started = launch(command=["sh", "-c", script], nodes=None, slots=1, max_restarts=1)
        ended = follow_with_restarts(
            started.cluster,
            started.dial,
            started.job,
            Means(),
            allocate=lambda name: started.cluster.allocate(name)[0],
        )
        assert (ended.job.state, ended.job.restarts) == ("SUCCEEDED", 1)
        return ended.job.id

    def test_the_logs_of_earlier_attempts_can_be_read_as_well(self, muster: Muster, restarted: str) -> None:
        assert "attempt 2 of rank 0" in muster("logs", restarted).stdout
        for number in ("1", "2"):
            done = muster("logs", restarted, "--attempt", number, "--rank", "0")
            assert (done.returncode, done.stdout) == (0, f"attempt {number} of rank 0\n")

    def test_one_that_never_ran_hides_nothing_of_the_one_before(
        self, launch: Callable[..., Running], muster: Muster
    ) -> None:
        started = launch(command=["sh", "-c", "echo here; exit 7"], nodes=None, slots=1, max_restarts=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("muster.gang.restart.start_gang", refused)
            ended = follow_with_restarts(
                started.cluster, started.dial, started.job, Means(), allocate=lambda name: allocated(started, name)
            )
        assert [one.state for one in ended.job.attempts] == ["FAILED", "FAILED"]
        assert muster("logs", ended.job.id, "--rank", "0").stdout == "here\n"
        page = muster("job", ended.job.id).stdout
        assert "failed first: exit code 7" in page and "not restarted: its nodes refuse it" in page
        assert "The last lines of its log:" in page

    def test_one_that_there_was_not_is_refused(self, muster: Muster, restarted: str) -> None:
        done = muster("logs", restarted, "--attempt", "3")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"job {restarted} has no attempt 3: its last is 2" in done.stderr

    def test_the_page_of_the_job_has_a_line_for_each(self, muster: Muster, restarted: str) -> None:
        page = muster("job", restarted).stdout
        lines = [re.split(r" {2,}", line) for line in page[page.index("ATTEMPT  ") :].splitlines()]
        assert lines[0] == ["ATTEMPT", "EPOCH", "STATE", "NODES", "STARTED", "TOOK", "WHY"]
        assert [(line[0], line[2]) for line in lines[1:3]] == [("1", "FAILED"), ("2", "SUCCEEDED")]
        assert lines[1][-1].endswith("failed first: exit code 7")


def allocated(started: Running, name: str) -> Job:
    """The next attempt of a job, which its nodes refuse."""
    job = started.cluster.allocate(name)[0]
    started.cluster.withdraw(name, job.attempts[-1].epoch, reason="its nodes refuse it")
    return job


def refused(*_arguments: object, **_options: object) -> None:
    raise NotStarted("its nodes refuse it")
