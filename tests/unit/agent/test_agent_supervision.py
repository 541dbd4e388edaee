# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The supervisor follows the ranks to their end: the first failure is named, and everything that a job started is
ended."""

import json
import os
import signal
from pathlib import Path

from tests.unit.agent.node import Node, alive, python, until

SLEEP = ["sleep", "600"]

# As torchrun does: the worker gets a session of its own, so that no signal to the rank's process group reaches it.
WORKER_IN_ITS_OWN_SESSION = """
import pathlib, subprocess, sys
worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
process = subprocess.Popen([sys.executable, "-c", worker], start_new_session=True, stdout=subprocess.PIPE)
process.stdout.readline()
place = pathlib.Path(sys.argv[1])
place.with_suffix(".new").write_text(str(process.pid))
place.with_suffix(".new").rename(place)
"""

# A daemon as the books teach it: twice forked, a session of its own, no open files, deaf to SIGTERM.
DAEMON = """
import os, pathlib, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.chdir("/")
    os.closerange(0, 3)
    place = pathlib.Path(sys.argv[1])
    place.with_suffix(".new").write_text(str(os.getpid()))
    place.with_suffix(".new").rename(place)
    time.sleep(600)
    os._exit(0)
os.wait()
"""


def _pid(place: Path) -> int:
    until(place.exists, f"{place.name} was written")
    return int(place.read_text())


def test_the_first_rank_that_fails_is_named_and_the_others_are_stopped(node: Node) -> None:
    spec = node.spec(SLEEP, ["sh", "-c", "echo before; echo the end >&2; exit 3"], SLEEP)
    node.start(spec)
    status = node.ended(spec)
    assert status["state"] == "failed"
    failure = status["failure"]
    assert (failure["rank"], failure["node"], failure["exit_code"], failure["signal"]) == (1, "n1", 3, None)
    assert failure["reason"] == "exit code 3"
    assert failure["tail"] == ["before", "the end"]
    assert failure["at"] == status["ranks"][1]["ended_at"]
    assert status["reason"] == "rank 1: exit code 3"
    assert [rank["state"] for rank in status["ranks"]] == ["stopped", "failed", "stopped"]
    assert [rank["signal"] for rank in status["ranks"]] == ["SIGTERM", None, "SIGTERM"]
    assert not any(alive(rank["pid"]) for rank in status["ranks"])


def test_a_rank_that_was_killed_is_told_by_the_name_of_the_signal(node: Node) -> None:
    spec = node.spec(SLEEP, SLEEP)
    answer = node.start(spec)
    os.kill(answer.attempt["ranks"][0]["pid"], signal.SIGKILL)
    status = node.ended(spec)
    failure = status["failure"]
    assert (failure["rank"], failure["exit_code"], failure["signal"], failure["oom"]) == (0, None, "SIGKILL", False)
    assert failure["reason"] == "killed by SIGKILL"


def test_a_signal_without_a_name_has_a_number(node: Node) -> None:
    spec = node.spec(["sh", "-c", f"kill -{signal.SIGRTMIN + 3} $$"])
    node.start(spec)
    assert node.ended(spec)["failure"]["reason"] == f"killed by signal {signal.SIGRTMIN + 3}"


def test_a_time_limit_ends_the_job_and_says_so(node: Node) -> None:
    spec = node.spec(SLEEP, SLEEP, time_limit_s=1)
    node.start(spec)
    status = node.ended(spec)
    assert status["state"] == "failed"
    assert status["failure"]["reason"] == "the time limit of 1 s reached"
    assert status["failure"]["rank"] == 0
    assert [rank["state"] for rank in status["ranks"]] == ["stopped", "stopped"]


def test_a_job_within_its_time_limit_succeeds(node: Node) -> None:
    spec = node.spec(["true"], time_limit_s=600)
    node.start(spec)
    assert node.ended(spec)["state"] == "succeeded"


def test_ranks_that_ignore_sigterm_are_killed_after_the_grace(node: Node, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    spec = node.spec(["sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"], grace_s=0.3)
    node.start(spec)
    until(ready.exists, "the rank ignores SIGTERM")
    answer = node.stop(spec)
    assert answer.exit_code == 0
    assert answer.attempt["state"] == "canceled"
    assert answer.attempt["ranks"][0]["signal"] == "SIGKILL"


def test_ranks_may_use_the_grace_to_save_their_work(node: Node, tmp_path: Path) -> None:
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    script = f"trap 'touch {saved}; exit 0' TERM; touch {ready}; while :; do sleep 0.1; done"
    spec = node.spec(["sh", "-c", script], grace_s=30)
    node.start(spec)
    until(ready.exists, "the rank waits for SIGTERM")
    rank = node.stop(spec).attempt["ranks"][0]
    assert saved.exists()
    assert (rank["state"], rank["exit_code"]) == ("stopped", 0)


def test_workers_with_sessions_of_their_own_end_with_the_rank_that_failed(node: Node, tmp_path: Path) -> None:
    place = tmp_path / "pid"
    script = WORKER_IN_ITS_OWN_SESSION + "sys.exit(1)"
    spec = node.spec(python(script, str(place)), grace_s=0.3)
    node.start(spec)
    status = node.ended(spec)
    assert (status["state"], status["left"]) == ("failed", 0)
    assert not alive(_pid(place))


def test_a_daemon_that_a_rank_left_behind_is_ended_before_the_job_is_over(node: Node, tmp_path: Path) -> None:
    place = tmp_path / "pid"
    spec = node.spec(
        python(DAEMON + f"\nwhile not os.path.exists({str(place)!r}): time.sleep(0.05)", str(place)), grace_s=0.3
    )
    node.start(spec)
    status = node.ended(spec)
    assert (status["state"], status["left"]) == ("succeeded", 0)
    assert not alive(_pid(place))


def test_a_stop_reaches_a_daemon_too(node: Node, tmp_path: Path) -> None:
    place = tmp_path / "pid"
    spec = node.spec(python(DAEMON + "\ntime.sleep(600)", str(place)), grace_s=0.3)
    node.start(spec)
    daemon = _pid(place)
    answer = node.stop(spec)
    assert (answer.exit_code, answer.attempt["left"]) == (0, 0)
    assert not alive(daemon)


def test_processes_that_keep_forking_are_ended(node: Node, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"""
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:  # each process lives for 50 ms and is followed by a child in a session of its own
    pathlib.Path({str(ready)!r}).touch()
    if os.fork():
        time.sleep(0.05)
        os._exit(0)
    os.setsid()
"""
    spec = node.spec([*python(script)], SLEEP, grace_s=0.2)
    node.start(spec)
    until(ready.exists, "it forks")
    answer = node.stop(spec)
    assert (answer.exit_code, answer.attempt["left"]) == (0, 0)


def test_a_rank_that_signals_its_process_group_hits_only_itself(node: Node) -> None:
    spec = node.spec(["sh", "-c", "kill -TERM 0; sleep 600"])
    node.start(spec)
    assert node.ended(spec)["failure"]["reason"] == "killed by SIGTERM"


def test_what_a_rank_left_in_its_error_file_is_shown(node: Node) -> None:
    script = """
import json, os, sys
with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w") as file:
    json.dump({"message": {"message": "CUDA out of memory", "extraInfo": {"timestamp": "1"}}}, file)
sys.exit(1)
"""
    spec = node.spec(python(script))
    node.start(spec)
    assert node.ended(spec)["failure"]["error"] == "CUDA out of memory"


def test_an_error_file_that_is_a_link_is_not_read(node: Node, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    spec = node.spec(["sh", "-c", f"ln -s {secret} $TORCHELASTIC_ERROR_FILE; exit 1"])
    node.start(spec)
    assert node.ended(spec)["failure"]["error"] is None


def test_the_tail_is_the_last_twenty_lines_whatever_they_are_made_of(node: Node) -> None:
    script = """
import sys
out = sys.stdout.buffer
for number in range(100000):
    out.write(b"line %d\\n" % number)
out.write(b"step 1\\rstep 2\\rstep 3\\n\\xff\\xfe broken\\nno newline at the end")
out.flush()
sys.exit(1)
"""
    spec = node.spec(python(script))
    node.start(spec)
    tail = node.ended(spec)["failure"]["tail"]
    assert len(tail) == 20
    assert tail[:2] == ["line 99983", "line 99984"]
    assert tail[-3:] == ["step 3", "\ufffd\ufffd broken", "no newline at the end"]


def test_a_line_without_end_does_not_fill_the_record(node: Node) -> None:
    spec = node.spec(["sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x; exit 1"])
    node.start(spec)
    tail = node.ended(spec)["failure"]["tail"]
    assert len(tail) == 1
    assert len(tail[0]) <= 64 * 1024


def test_a_record_that_cannot_be_written_is_written_later(node: Node) -> None:
    if os.geteuid() == 0:
        # Root writes anywhere; only a directory in the way of the temporary file stops it.
        spec = node.spec(SLEEP)
        supervisor = node.start(spec).attempt["supervisor"]["pid"]
        obstacle = node.directory(spec) / f"status.json.{supervisor}.new"
        obstacle.mkdir()
        os.kill(node.status(spec)["ranks"][0]["pid"], signal.SIGKILL)
        complaint = node.directory(spec) / "supervisor.log"
        until(lambda: "cannot be written" in complaint.read_text(), "the supervisor complains")
        assert node.status(spec)["state"] == "running"
        obstacle.rmdir()
        assert node.ended(spec)["failure"]["reason"] == "killed by SIGKILL"


def test_the_values_of_secrets_do_not_stay_on_the_node(node: Node) -> None:
    spec = node.spec(["sh", "-c", "while [ ! -e $0 ]; do sleep 0.05; done", str(node.state_dir / "go")])
    spec["processes"][0]["env"] |= {"API_TOKEN": "hush-hush", "DATA": "/data"}
    spec["secrets"] = ["API_TOKEN"]
    node.start(spec)
    kept = node.directory(spec) / "spec.json"
    assert "hush-hush" in kept.read_text(), "it is looked for where it was"
    (node.state_dir / "go").touch()
    node.ended(spec)
    env = json.loads(kept.read_text())["processes"][0]["env"]
    assert env == spec["processes"][0]["env"] | {"API_TOKEN": "********"}
    assert kept.stat().st_mode & 0o777 == 0o600
    found = [path for path in node.state_dir.rglob("*") if path.is_file() and b"hush-hush" in path.read_bytes()]
    assert found == []


def test_they_go_also_where_the_supervisor_died(node: Node) -> None:
    spec = node.spec(["sleep", "600"])
    spec["processes"][0]["env"] |= {"API_TOKEN": "hush-hush"}
    spec["secrets"] = ["API_TOKEN"]
    node.start(spec)
    node.kill_supervisor(spec)
    kept = node.directory(spec) / "spec.json"
    until(
        lambda: node.call("survey", "--also", f"{spec['job']}.1") and "hush-hush" not in kept.read_text(), "it is gone"
    )
    assert json.loads(kept.read_text())["processes"][0]["env"]["API_TOKEN"] == "********"
