# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calling the agent on a node: one remote command a call, and the agent put there when it is missing or outdated."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..model import parse, utc_now
from .target import DEFAULT_PYTHON, DEFAULT_STATE_DIR, Target
from .transport import Reply, Transport

NO_AGENT = 126
NO_PYTHON = 127
OTHER_VERSION = 76  # EX_PROTOCOL of sysexits.h

ISOLATED = ("-I", "-S")
"""Options of Python that keep the user's packages and variables out, and save 5 to 60 ms of its start."""
INSTALL_TIMEOUT_S = 60.0
SHOWN = 300
"""How many characters of an answer that is not ours are shown to the user."""


@dataclass(frozen=True)
class AgentError:
    """Why a verb was not done: a code for programs, a sentence and a hint for people."""

    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass(frozen=True)
class AgentReply:
    """The agent's answer. ``payload`` is its whole JSON object, and empty when there was none.

    ``payload`` may be there beside an error: a refused start, for example, still tells its status.
    """

    name: str
    ok: bool
    exit_code: int | None
    reply: Reply
    asked: datetime
    answered: datetime
    """By our own clock."""
    payload: dict[str, Any] = field(default_factory=dict)
    error: AgentError | None = None
    installed: bool = False
    """The agent was put on the node by this call."""

    @property
    def skew(self) -> timedelta:
        """How far the node's clock is ahead of ours (behind: less than zero), at least: where the way of question and
        answer explains the difference, it is none."""
        zero = timedelta(0)
        if not {"began", "now"} <= self.payload.keys():
            return zero
        at_least, at_most = parse(self.payload["now"]) - self.answered, parse(self.payload["began"]) - self.asked
        return max(at_least, min(at_most, zero))


class AgentClient:
    """The agent of one node, spoken to over any transport.

    :param version: what the agent must be; one of another version is replaced.
    :param build: gives the agent's file, called only when it is needed.
    :param may_install: False in check mode, when a node must stay as it is.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        version: str,
        build: Callable[[], bytes],
        python: str = DEFAULT_PYTHON,
        state_dir: str = DEFAULT_STATE_DIR,
        may_install: bool = True,
    ) -> None:
        self.name = transport.name
        self.transport = transport
        self.commands = 0
        """Remote commands run so far."""
        self._asked = utc_now()
        self._version = version
        self._build = build
        self._python = python
        self._state_dir = state_dir
        self._may_install = may_install

    def call(self, verb: Sequence[str], stdin: bytes | None = None, timeout_s: float | None = None) -> AgentReply:
        """Have the agent do ``verb`` (["status", "--job", "0q5k2mx7d4"]). Never raises for what the node does.

        The agent is installed first, if it is missing, broken or of another version, and then asked again, once.
        """
        reply = self._run(agent_command(self._python, self._state_dir, self._version, verb), stdin or b"", timeout_s)
        if not (self._may_install and _wants_an_agent(reply)):
            return self._understood(reply)
        installed = self._run(
            install_command(self._state_dir, len(content := self._build())), content, INSTALL_TIMEOUT_S
        )
        if installed.error is not None or installed.rc != 0:
            return self._not_installed(installed)
        reply = self._run(agent_command(self._python, self._state_dir, self._version, verb), stdin or b"", timeout_s)
        return self._understood(reply, installed=True)

    def stream(
        self, verb: Sequence[str], on_stdout: Callable[[bytes], None], timeout_s: float | None = None
    ) -> AgentReply:
        """Have the agent do a verb that prints raw text (``logs --follow``), handed over piece by piece.

        The text is no JSON, so there is no payload; ``ok`` is an exit code of 0. Nothing is installed.
        """
        command = agent_command(self._python, self._state_dir, self._version, verb)
        self.commands += 1
        self._asked = utc_now()
        reply = self.transport.run(command, timeout_s=timeout_s, on_stdout=on_stdout)
        if reply.rc == 0:
            return AgentReply(self.name, True, 0, reply, self._asked, utc_now())
        return self._understood(reply)

    def close(self) -> None:
        """Close the connection to the node."""
        self.transport.close()

    def _run(self, command: str, stdin: bytes, timeout_s: float | None) -> Reply:
        self.commands += 1
        self._asked = utc_now()
        return self.transport.run(command, stdin, timeout_s)

    def _understood(self, reply: Reply, installed: bool = False) -> AgentReply:
        payload = _last_object(reply.stdout) or {}
        error = None
        if reply.error is not None:
            error = AgentError(reply.failure or "unreachable", reply.error)
        elif payload.get("ok") is not True or reply.rc != 0:
            error = self._complaint(reply, payload)
        return AgentReply(self.name, error is None, reply.rc, reply, self._asked, utc_now(), payload, error, installed)

    def _complaint(self, reply: Reply, payload: dict[str, Any]) -> AgentError:
        if reply.rc == NO_PYTHON:
            return AgentError(
                "python_missing",
                f"there is no {self._python} on {self.name}",
                "install Python 3.9 or newer there, or set ansible_python_interpreter",
            )
        if reply.rc == NO_AGENT:
            return AgentError("agent_missing", f"{self.name} has no agent yet", "run the provision playbook")
        if reply.rc == OTHER_VERSION:
            return AgentError(
                "agent_outdated",
                f"the agent on {self.name} is {payload.get('agent', 'another')}, not {self._version}",
                "run the provision playbook",
            )
        told = payload.get("error")
        if isinstance(told, dict):
            return AgentError(
                str(told.get("code", "failed")), str(told.get("message", "it failed")), str(told.get("hint") or "")
            )
        return AgentError(
            "no_answer",
            f"{self.name} did not answer as an agent does (exit code {reply.rc}): {_shown(reply)}",
            f"is something else printing, or is {agent_path(self._state_dir)} not ours?",
        )

    def _not_installed(self, reply: Reply) -> AgentReply:
        if reply.error is not None:
            error = AgentError(reply.failure or "unreachable", reply.error)
        else:
            error = AgentError(
                "install_failed",
                f"the agent cannot be put into {self._state_dir} on {self.name}: {_shown(reply)}",
                "run the provision playbook as root, or set muster_state_dir to a directory that the user may write",
            )
        return AgentReply(self.name, False, reply.rc, reply, self._asked, utc_now(), {}, error)


def client_for(
    target: Target, transport: Transport, version: str, build: Callable[[], bytes], may_install: bool = True
) -> AgentClient:
    """The agent of a target, with the interpreter and the state directory that the target names."""
    return AgentClient(
        transport,
        version=version,
        build=build,
        python=target.python,
        state_dir=target.state_dir,
        may_install=may_install,
    )


def agent_path(state_dir: str) -> str:
    """Where the agent's one file lies on a node."""
    return f"{state_dir.rstrip('/')}/bin/muster-agent.pyz"


Dial = Callable[[str], AgentClient]
"""Gives a new client for the agent of a node, by the node's name; from any thread."""


def agent_command(python: str, state_dir: str, version: str, verb: Sequence[str]) -> str:
    """A command line for any login shell that runs a verb, or exits 126 without an agent and 127 without a Python."""
    interpreter = shlex.split(python)
    agent = shlex.quote(agent_path(state_dir))
    words = shlex.join(
        [*interpreter, *ISOLATED, agent_path(state_dir), "--expect", version, "--state-dir", state_dir, *map(str, verb)]
    )
    return _in_sh(
        f"command -v {shlex.quote(interpreter[0])} >/dev/null 2>&1 || exit {NO_PYTHON}; "
        f"[ -r {agent} ] && [ -s {agent} ] || exit {NO_AGENT}; exec {words}"
    )


def install_command(state_dir: str, size: int) -> str:
    """A command line that writes its stdin to the agent's place, whole or not at all.

    The size is compared because a connection that breaks looks like the end of the file to ``cat``; the file is on disk
    before it has its name, so that no loss of power leaves an empty one.
    """
    path = agent_path(state_dir)
    directory = path.rpartition("/")[0]
    return _in_sh(
        f"umask 022; new={shlex.quote(directory)}/.muster-agent.$$; mkdir -p {shlex.quote(directory)} || exit 1; "
        f'trap \'rm -f "$new"\' EXIT; cat > "$new" && [ "$(wc -c < "$new")" -eq {size} ] && '
        f'sync "$new" && mv -f "$new" {shlex.quote(path)}'
    )


def _wants_an_agent(reply: Reply) -> bool:
    """Whether a new agent may help: there is none, it is another, or what is there fails with no answer of ours."""
    if reply.rc in (NO_AGENT, OTHER_VERSION):
        return True
    return reply.rc not in (None, 0, NO_PYTHON) and _last_object(reply.stdout) is None


def _in_sh(script: str) -> str:
    """The script as an argument of sh, since the user's login shell may be fish or csh."""
    return f"exec /bin/sh -c {shlex.quote(script)}"


def _last_object(output: bytes) -> dict[str, Any] | None:
    """The last line that is one of our JSON objects. Login scripts may print before it, and it is one line."""
    for line in reversed(output.splitlines()):
        if line.lstrip().startswith(b"{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and "protocol" in found:
                return found
    return None


def _shown(reply: Reply) -> str:
    """The end of what a command printed, on one line."""
    text = " ".join((reply.stderr.strip() or reply.stdout.strip()).decode("utf-8", "replace").split())
    return text[-SHOWN:] or "it printed nothing"
