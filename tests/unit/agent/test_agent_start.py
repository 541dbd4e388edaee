# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting an attempt: what a rank is given, what is refused, and that asking twice is harmless."""

import getpass
import json
import os
import pwd
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs
from tests.unit.agent.node import Node, alive, python, until

AS_ROOT = os.geteuid() == 0
SLEEP = ["sleep", "600"]


def _problems(node: Node, spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Start what cannot start; see that nothing is left of it; return code and message of its problems."""
    answer = node.start(spec)
    assert answer.exit_code == 69, answer
    assert answer.attempt["state"] == "refused"
    assert answer.error["code"] == answer.attempt["problems"][0]["code"]
    assert list((node.state_dir / "jobs").iterdir()) == []
    assert list((node.state_dir / "run").iterdir()) == []
    return [(problem["code"], problem["message"]) for problem in answer.attempt["problems"]]


def test_start_returns_while_the_ranks_run_and_their_end_is_recorded(node: Node, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    spec = node.spec(["sh", "-c", f"until [ -e {go_on} ]; do sleep 0.05; done"], ["true"])
    answer = node.start(spec)
    assert answer.exit_code == 0
    assert answer.attempt["state"] == "running"
    assert [rank["rank"] for rank in answer.attempt["ranks"]] == [0, 1]
    go_on.touch()
    status = node.ended(spec)
    assert status["state"] == "succeeded"
    assert [(rank["state"], rank["exit_code"]) for rank in status["ranks"]] == [("succeeded", 0), ("succeeded", 0)]
    assert (status["failure"], status["reason"], status["left"]) == (None, None, 0)
    assert status["created_at"] <= status["started_at"] <= status["ended_at"] <= status["updated_at"]
    until(lambda: not alive(status["supervisor"]["pid"]), "the supervisor has left")


def test_a_rank_gets_the_environment_of_the_plan_and_nothing_of_the_caller(node: Node) -> None:
    spec = node.spec(python("import json, os; print(json.dumps(dict(os.environ)))"), addresses={"n0": "127.0.0.1"})
    spec["processes"][0]["env"] = {
        "RANK": "0",
        "LD_LIBRARY_PATH": "/job",
        "MUSTER_EPOCH": "forged",
        "GREETING": "hällo",
    }
    node.env = {**os.environ, "SECRET_OF_THE_CALLER": "1", "LD_LIBRARY_PATH": "/caller"}
    node.start(spec)
    node.ended(spec)
    env = json.loads(node.log(spec))
    me = pwd.getpwuid(os.geteuid())
    assert "SECRET_OF_THE_CALLER" not in env
    assert (env["RANK"], env["LD_LIBRARY_PATH"], env["GREETING"]) == ("0", "/job", "hällo")
    assert (env["USER"], env["LOGNAME"], env["HOME"], env["SHELL"]) == (me.pw_name, me.pw_name, me.pw_dir, me.pw_shell)
    assert (env["NCCL_SOCKET_IFNAME"], env["GLOO_SOCKET_IFNAME"]) == ("lo", "lo")
    assert (env["MUSTER_JOB_ID"], env["MUSTER_ATTEMPT"], env["MUSTER_EPOCH"]) == (spec["job"], "1", str(spec["epoch"]))
    assert (env["MUSTER_NODE"], env["MUSTER_STATE_DIR"]) == ("n1", str(node.state_dir))
    assert env["TORCHELASTIC_ERROR_FILE"] == str(node.directory(spec) / "errors" / "error-0.json")


def test_the_jobs_own_interface_and_error_file_win(node: Node) -> None:
    spec = node.spec(["env"], interface="lo")
    spec["processes"][0]["env"] = {"NCCL_SOCKET_IFNAME": "ib0", "TORCHELASTIC_ERROR_FILE": "/mine"}
    node.start(spec)
    node.ended(spec)
    lines = node.log(spec).splitlines()
    assert {"NCCL_SOCKET_IFNAME=ib0", "GLOO_SOCKET_IFNAME=lo", "TORCHELASTIC_ERROR_FILE=/mine"} <= set(lines)


def test_ranks_run_in_cwd_which_may_hold_the_program(node: Node, tmp_path: Path) -> None:
    program = tmp_path / "train.sh"
    program.write_text("#!/bin/sh\npwd\n")
    program.chmod(0o755)
    spec = node.spec(["./train.sh"], cwd=str(tmp_path))
    node.start(spec)
    node.ended(spec)
    assert node.log(spec).strip() == str(tmp_path)


def test_a_job_without_cwd_runs_at_home(node: Node) -> None:
    if not Path(pwd.getpwuid(os.geteuid()).pw_dir).is_dir():
        pytest.skip("this user has no home")
    spec = node.spec(["pwd"], cwd=None)
    node.start(spec)
    node.ended(spec)
    assert Path(node.log(spec).strip()).samefile(pwd.getpwuid(os.geteuid()).pw_dir)


def test_a_rank_has_no_open_files_and_no_ignored_signals_of_ours(node: Node) -> None:
    spec = node.spec(
        ["sh", "-c", "ls /proc/self/fd; cat /proc/self/status"]
    )  # in sh: Python ignores some signals itself
    node.start(spec)
    node.ended(spec)
    *descriptors, three = [line for line in node.log(spec).splitlines() if line.isdigit()]
    status = [line for line in node.log(spec).splitlines() if not line.isdigit()]
    assert (descriptors, three) == (["0", "1", "2"], "3")  # 3 is the listing itself
    facts = dict(line.split(":\t", 1) for line in status if line)
    assert int(facts["SigBlk"], 16) == 0
    internal = 0b11 << 31  # 32 and 33 belong to glibc, whose posix_spawn leaves them ignored (so make does)
    assert int(facts["SigIgn"], 16) & ~internal == 0


def test_the_connection_that_started_a_job_is_not_held_open_by_it(node: Node) -> None:
    spec = node.spec(SLEEP)
    # With a pipe on each stream, as sshd has them, this returns at end of file only.
    done = subprocess.run(node.command("start"), input=json.dumps(spec).encode(), capture_output=True, timeout=60)
    assert json.loads(done.stdout)["attempt"]["state"] == "running"
    assert node.status(spec)["state"] == "running"


def test_the_job_outlives_the_death_of_the_call_that_starts_it(nodes: list[Node]) -> None:
    first, second, _third = nodes
    spec = first.spec(SLEEP)
    spec["gate"]["nodes"] = ["n1", "n2"]
    spec["addresses"] = {"n1": "127.0.0.1", "n2": "127.0.0.1"}
    other = second.spec(SLEEP, **{key: spec[key] for key in ("job", "epoch", "gate", "addresses")})
    call = first.begin("start", stdin=json.dumps(spec).encode())
    until(lambda: first.directory(spec).exists(), "the supervisor waits at the gate")
    call.kill()
    call.communicate()
    assert second.start(other).exit_code == 0
    until(lambda: first.status(spec)["state"] == "running", "the job runs on both nodes")


def test_a_second_start_of_the_same_attempt_starts_nothing(node: Node) -> None:
    spec = node.spec(SLEEP)
    first = node.start(spec)
    second = node.start(spec)
    assert second.exit_code == 0
    assert second.attempt == first.attempt


def test_starts_at_the_same_moment_start_one_set_of_ranks(node: Node) -> None:
    spec = node.spec(SLEEP, slots=[0])
    calls = [node.begin("start", stdin=json.dumps(spec).encode()) for _call in range(5)]
    answers = [node.finish(call) for call in calls]
    assert [answer.exit_code for answer in answers] == [0] * 5
    assert len({answer.attempt["ranks"][0]["pid"] for answer in answers}) == 1
    assert [path.name for path in (node.state_dir / "jobs").iterdir()] == [f"{spec['job']}.1"]


def test_starting_a_finished_attempt_again_tells_how_it_ended(node: Node) -> None:
    spec = node.spec(["true"])
    node.start(spec)
    status = node.ended(spec)
    again = node.start(spec)
    assert (again.exit_code, again.attempt) == (0, status)


def test_starting_a_stopped_attempt_again_is_refused(node: Node) -> None:
    spec = node.spec(SLEEP)
    node.start(spec)
    node.stop(spec)
    again = node.start(spec)
    assert (again.exit_code, again.error["code"]) == (69, "canceled")


def test_a_missing_cwd_is_named(node: Node) -> None:
    assert _problems(node, node.spec(["true"], cwd="/no/such/place")) == [
        ("cwd_missing", "the directory /no/such/place does not exist")
    ]


def test_a_cwd_that_is_a_file_is_named(node: Node, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert _problems(node, node.spec(["true"], cwd=str(tmp_path / "file")))[0][0] == "cwd_missing"


@pytest.mark.parametrize("word", ["no-such-program", "./no-such-program", "/etc/passwd", "/etc"])
def test_a_command_that_cannot_be_executed_is_named(node: Node, word: str) -> None:
    [(code, message)] = _problems(node, node.spec([word], [word]))
    assert code == "executable_not_found"
    assert repr(word) in message


def test_the_program_is_looked_up_in_the_path_of_the_job(node: Node, tmp_path: Path) -> None:
    program = tmp_path / "train"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    spec = node.spec(["train"])
    spec["processes"][0]["env"] = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert node.start(spec).exit_code == 0
    node.ended(spec)
    assert node.log(spec) == "found\n"


def test_a_program_whose_interpreter_is_missing_fails_with_the_reason_in_its_log(node: Node, tmp_path: Path) -> None:
    program = tmp_path / "train"
    program.write_text("#!/no/such/python\n")
    program.chmod(0o755)
    spec = node.spec([str(program)])
    node.start(spec)
    status = node.ended(spec)
    assert status["failure"]["reason"] == "exit code 126"
    assert "No such file or directory" in status["failure"]["tail"][0]


def test_an_interface_that_is_not_there_is_named(node: Node) -> None:
    [(code, message)] = _problems(node, node.spec(["true"], interface="eth99"))
    assert code == "interface_missing"
    assert "'eth99'" in message
    assert "lo" in message


def test_an_unknown_user_is_named(node: Node) -> None:
    assert _problems(node, node.spec(["true"], user="nobody-of-that-name"))[0][0] == "user_unknown"


def test_a_port_that_another_program_listens_on_is_named(node: Node) -> None:
    spec = node.spec(["true"])
    with socket.socket() as other:
        other.bind(("127.0.0.1", spec["gate"]["port"]))
        other.listen()
        [(code, message)] = _problems(node, spec)
    assert code == "port_taken"
    assert f"port {spec['gate']['port']} of n1" in message


def test_all_problems_are_told_at_once(node: Node) -> None:
    spec = node.spec(["true"], cwd="/no/such/place", interface="eth99", gpus=["GPU-1"])
    codes = [code for code, _message in _problems(node, spec)]
    assert codes == ["gpu_missing", "interface_missing", "cwd_missing"]


def test_the_port_is_free_for_the_rank_that_listens_on_it(node: Node) -> None:
    spec = node.spec()
    script = f"import socket; s = socket.socket(); s.bind(('', {spec['gate']['port']})); s.listen()"
    spec["processes"] = node.spec(python(script))["processes"]
    node.start(spec)
    assert node.ended(spec)["state"] == "succeeded", node.log(spec)


@needs(AS_ROOT, "only root may start ranks as another user")
class TestAsRoot:
    def test_ranks_run_as_the_user_of_the_job_who_can_read_the_records(self, node: Node) -> None:
        script = """
import os, pathlib
print(os.getresuid(), os.getresgid(), os.environ["HOME"])
here = pathlib.Path(os.environ["TORCHELASTIC_ERROR_FILE"]).parent.parent
print((here / "status.json").read_text() != "", (here / "rank-0.log").exists())
for name in ("spec.json", "status.json"):
    print(name, os.access(here / name, os.W_OK))
print("errors", os.access(here / "errors", os.W_OK), "spec", os.access(here / "spec.json", os.R_OK))
"""
        spec = node.spec(["/usr/bin/env", "python3", "-c", script], user="nobody")
        node.start(spec)
        status = node.ended(spec)
        nobody = pwd.getpwnam("nobody")
        assert node.log(spec).splitlines() == [
            f"{(nobody.pw_uid,) * 3} {(nobody.pw_gid,) * 3} {nobody.pw_dir}",
            "True True",
            "spec.json False",
            "status.json False",
            "errors True spec False",
        ], status

    def test_a_job_never_runs_as_root_unless_asked_to_by_name(self, node: Node) -> None:
        if "muster" in {entry.pw_name for entry in pwd.getpwall()}:
            pytest.skip("there is a user muster here, who would run it")
        [(code, message)] = _problems(node, node.spec(["true"], user=None))
        assert code == "would_run_as_root"
        assert "never runs as root unasked" in message
        spec = node.spec(["id", "-un"], user="root")
        node.start(spec)
        node.ended(spec)
        assert node.log(spec) == "root\n"

    def test_a_cwd_that_the_user_may_not_enter_is_named(self, node: Node, tmp_path: Path) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        [(code, message)] = _problems(node, node.spec(["true"], cwd=str(private), user="nobody"))
        assert code == "cwd_forbidden"
        assert "'nobody'" in message


@pytest.mark.skipif(AS_ROOT, reason="root may be anyone")
def test_without_root_a_job_of_another_user_is_refused(node: Node) -> None:
    assert _problems(node, node.spec(["true"], user="root"))[0][0] == "user_forbidden"


def test_without_a_user_an_agent_that_is_not_root_runs_the_job_itself(node: Node) -> None:
    if AS_ROOT:
        node.interpreter = ("setpriv", "--reuid=nobody", "--clear-groups", "/usr/bin/python3", "-I", "-S")
        os.chown(node.state_dir, pwd.getpwnam("nobody").pw_uid, -1)
    spec = node.spec(["id", "-un"], user=None)
    assert node.start(spec).exit_code == 0
    node.ended(spec)
    assert node.log(spec).strip() == ("nobody" if AS_ROOT else getpass.getuser())
