# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calling the agent of a node that has it, has another one, or has none yet: with the real agent and a real shell."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from muster.agent import package
from muster.model import parse
from muster.remote import AgentClient, AgentReply, Dialer, Reply, Target, Transport, transport_to
from muster.remote.agents import agent_command, agent_path, install_command

from tests.unit.remote.sshd import Sshd

Make = Callable[..., AgentClient]


@pytest.fixture
def make(transport: Transport, tmp_path: Path) -> Make:
    """A client of the agent in a state directory with a difficult name, that does not exist yet."""

    def make(**options: Any) -> AgentClient:
        given = {"version": package.version(), "build": package.build, "python": sys.executable}
        return AgentClient(transport, state_dir=str(tmp_path / "it's a $HOME"), **(given | options))

    return make


def test_a_node_without_the_agent_gets_it_with_the_first_call(make: Make) -> None:
    client = make()
    first = client.call(["version"], timeout_s=60)
    assert (first.ok, first.installed, first.error) == (True, True, None)
    assert first.payload["agent"] == package.version()
    assert client.commands == 3
    second = client.call(["version"], timeout_s=60)
    assert (second.ok, second.installed) == (True, False)
    assert client.commands == 4


OLD_AGENT = """
import sys
print('{"protocol": 1, "agent": "0.0.9+00000000", "ok": false, "error": {"code": "other_version", "message": "old"}}')
sys.exit(76)
"""


def test_an_agent_of_another_version_is_replaced(make: Make, tmp_path: Path) -> None:
    file = Path(agent_path(str(tmp_path / "it's a $HOME")))
    file.parent.mkdir(parents=True)
    file.write_text(OLD_AGENT)
    checked = make(may_install=False).call(["version"], timeout_s=60)
    assert checked.error is not None and checked.error.code == "agent_outdated"
    assert checked.error.message == f"the agent on n1 is 0.0.9+00000000, not {package.version()}"
    reply = make().call(["version"], timeout_s=60)
    assert (reply.ok, reply.installed) == (True, True)
    assert reply.payload["agent"] == package.version()


@pytest.mark.parametrize("content", [b"", package.build()[:5000]], ids=["empty", "cut off"])
def test_an_agent_that_a_loss_of_power_has_broken_is_replaced(make: Make, tmp_path: Path, content: bytes) -> None:
    file = Path(agent_path(str(tmp_path / "it's a $HOME")))
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    reply = make().call(["version"], timeout_s=60)
    assert (reply.ok, reply.installed) == (True, True)


def test_an_agent_that_is_still_another_after_its_installation_is_not_installed_again(make: Make) -> None:
    client = make(build=OLD_AGENT.encode)
    reply = client.call(["version"], timeout_s=60)
    assert reply.error is not None and reply.error.code == "agent_outdated"
    assert client.commands == 3


def test_check_mode_installs_nothing(make: Make, tmp_path: Path) -> None:
    client = make(may_install=False)
    reply = client.call(["version"], timeout_s=60)
    assert reply.error is not None and reply.error.code == "agent_missing"
    assert str(reply.error) == "n1 has no agent yet (run the provision playbook)"
    assert client.commands == 1
    assert list(tmp_path.iterdir()) == []


def test_a_node_without_python_is_said_to_lack_it(make: Make, tmp_path: Path) -> None:
    client = make(python="/no/such/python3")
    reply = client.call(["version"], timeout_s=60)
    assert reply.error is not None and reply.error.code == "python_missing"
    assert reply.error.message == "there is no /no/such/python3 on n1"
    assert client.commands == 1
    assert list(tmp_path.iterdir()) == []


def test_the_agents_own_refusal_comes_through_whole(make: Make) -> None:
    reply = make().call(["start"], stdin=b"this is no JSON", timeout_s=60)
    assert reply.exit_code == 65
    assert reply.payload["verb"] == "start"
    assert reply.error is not None and reply.error.message == reply.payload["error"]["message"]


def test_words_reach_the_agent_as_they_are(make: Make) -> None:
    client = make()
    for word in ("a b", "'", '"', "$(id)", "a\nb", "!", "ü", "*"):
        reply = client.call(["status", "--job", word], timeout_s=60)
        assert reply.exit_code in (64, 66), reply
        assert reply.error is not None


def test_a_state_directory_that_cannot_be_made_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "it's a $HOME").write_text("a file is in its place")
    reply = make().call(["version"], timeout_s=60)
    assert reply.error is not None and reply.error.code == "install_failed"
    assert str(tmp_path) in reply.error.message and "n1" in reply.error.message
    assert "muster_state_dir" in reply.error.hint


def test_a_file_that_arrives_in_part_is_not_installed(transport: Transport, tmp_path: Path) -> None:
    state_dir = str(tmp_path / "state")
    assert transport.run(install_command(state_dir, 4), b"half", 60).rc == 0
    assert transport.run(install_command(state_dir, 1000), b"only a part", 60).rc == 1
    assert Path(agent_path(state_dir)).read_bytes() == b"half"
    assert [path.name for path in Path(state_dir, "bin").iterdir()] == ["muster-agent.pyz"]


def test_raw_text_is_streamed_and_a_refusal_still_understood(make: Make) -> None:
    client = make()
    client.call(["version"], timeout_s=60)
    pieces: list[bytes] = []
    reply = client.stream(["version"], pieces.append, timeout_s=60)
    assert reply.ok and json.loads(b"".join(pieces))["ok"] is True
    reply = client.stream(["logs", "--job", "0q5k2mx7d4", "--raw"], pieces.append, timeout_s=60)
    assert not reply.ok
    assert reply.exit_code == 66


def test_a_greeting_of_the_login_shell_does_not_matter(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    transport = transport_to(Target(**sshd.fields(key_files=(str(sshd.noisy_key),))), dialer)
    client = AgentClient(
        transport, version=package.version(), build=package.build, python=sys.executable, state_dir=str(tmp_path)
    )
    reply = client.call(["version"], timeout_s=60)
    assert reply.reply.stdout.startswith(b"Welcome to the cluster!\n{")
    assert reply.ok and reply.installed
    client.close()


class Scripted:
    """A transport that gives prepared replies."""

    name = "n1"

    def __init__(self, *replies: Reply) -> None:
        self._replies: Iterator[Reply] = iter(replies)

    def run(self, command: str, stdin: bytes = b"", timeout_s: float | None = None, on_stdout: Any = None) -> Reply:
        return next(self._replies)

    def close(self) -> None:
        """Nothing is open."""


def asked(*replies: Reply) -> Any:
    client = AgentClient(Scripted(*replies), version="1", build=lambda: b"")
    return client.call(["version"])


def test_an_unreachable_node_keeps_its_sentence_and_its_kind() -> None:
    reply = asked(Reply("n1", error="n1 (10.0.0.1:22) is away", failure="unreachable"))
    assert (reply.error.code, str(reply.error)) == ("unreachable", "n1 (10.0.0.1:22) is away")
    assert reply.exit_code is None


@pytest.mark.parametrize("output", [b"", b"hello", b"{}", b"[1]", b'{"protocol": 1', b"\xff\xfe"])
def test_an_answer_that_is_not_ours_is_shown(output: bytes) -> None:
    reply = asked(Reply("n1", 0, output))
    assert (reply.ok, reply.error.code) == (False, "no_answer")
    assert "n1 did not answer as an agent does (exit code 0)" in reply.error.message


def test_success_needs_both_the_word_and_the_exit_code() -> None:
    assert asked(Reply("n1", 0, b'noise\n{"protocol": 1, "ok": true}\ntrailing\n')).ok
    assert not asked(Reply("n1", 0, b'{"protocol": 1, "ok": false}\n')).ok
    assert not asked(Reply("n1", 70, b'{"protocol": 1, "ok": true}\n')).ok


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish", "tcsh"])
def test_the_command_line_suits_any_login_shell(shell: str, tmp_path: Path) -> None:
    # Exit code 126 shows that the wrapper ran: it found the interpreter, and no agent.
    command = agent_command("python3 -u", str(tmp_path / "it's"), "1+ab", ["status", "--job", "a'b"])
    try:
        done = subprocess.run([shell, "-c", command], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"there is no {shell} here")
    assert (done.returncode, done.stderr) == (126, b""), shlex.join([shell, "-c", command])


@pytest.mark.parametrize(
    ("began", "now", "skew_s"),
    [
        ("00:00:01", "00:00:04", 0),  # 2 s of doing; the other 3 s may be on either way
        ("00:00:00", "00:00:05", 0),
        ("00:01:01", "00:01:04", 59),  # ahead, by 59 s at least
        ("23:59:01", "23:59:04", -59),
    ],
)
def test_clocks_differ_only_as_far_as_the_way_of_the_answer_does_not_explain(
    began: str, now: str, skew_s: float
) -> None:
    asked = parse("2026-11-29T00:00:00Z")
    day = {True: "2026-11-29", False: "2026-11-28"}
    told = {name: f"{day[when < '12']}T{when}Z" for name, when in (("began", began), ("now", now))}
    reply = AgentReply("n1", True, 0, Reply("n1", 0), asked, asked + timedelta(seconds=5), told)
    assert reply.skew == timedelta(seconds=skew_s)


def test_a_slow_answer_is_no_clock_that_is_behind(make: Make) -> None:
    client = make()
    assert client.call(["version"], timeout_s=60).ok
    run = client.transport.run

    def slow(*question: Any) -> Reply:
        answer = run(*question)
        time.sleep(0.5)
        return answer

    client.transport.run = slow  # type: ignore[method-assign]
    reply = client.call(["version"], timeout_s=60)
    assert reply.answered - reply.asked > timedelta(seconds=0.5)
    assert reply.skew == timedelta(0)
