# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node for tests: a state directory of its own on this machine, and the packed agent in it, called as anyone calls
it."""

import contextlib
import getpass
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 30.0
_numbers = itertools.count(1)

Document = dict[str, Any]


_PORTS = itertools.cycle(range(10_000 + os.getpid() % 90 * 100, 10_000 + os.getpid() % 90 * 100 + 1000))
"""Each worker that tests run in begins elsewhere. The cluster's own begin at 20000, the kernel's at 32768."""


def until(look: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Return what `look` returns as soon as that is true; fail when the patience is at its end."""
    deadline = time.monotonic() + patience_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        time.sleep(0.02)
    return seen


def free_port() -> int:
    """A port that no one uses, and that nobody is given who asks for any: those are others."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is taken")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def python(script: str, *arguments: str) -> list[str]:
    """The command of a rank that runs this script."""
    return [sys.executable, "-c", script, *arguments]


@dataclass
class Answer:
    exit_code: int
    payload: Document

    @property
    def attempt(self) -> Document:
        attempt: Document = self.payload["attempt"]
        return attempt

    @property
    def error(self) -> Document:
        error: Document = self.payload["error"]
        return error

    def codes(self) -> list[tuple[str, str]]:
        """(node, code) of the problems of a refused start."""
        return [(problem["node"], problem["code"]) for problem in self.attempt["problems"]]


@dataclass
class Node:
    name: str
    state_dir: Path
    interpreter: Sequence[str] = (sys.executable, "-I", "-S")
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def agent_file(self) -> Path:
        return self.state_dir / "bin" / "muster-agent.pyz"

    def command(self, *words: object) -> list[str]:
        return [*self.interpreter, str(self.agent_file), *map(str, words)]

    def begin(self, *words: object, stdin: bytes = b"") -> "subprocess.Popen[bytes]":
        """Start a call and do not wait for its answer."""
        process = subprocess.Popen(
            self.command(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env
        )
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        return process

    def finish(self, process: "subprocess.Popen[bytes]") -> Answer:
        stdout, stderr = process.communicate(timeout=60)
        assert stdout.count(b"\n") == 1, (stdout, stderr)
        return Answer(process.returncode, json.loads(stdout))

    def call(self, *words: object, stdin: bytes = b"") -> Answer:
        return self.finish(self.begin(*words, stdin=stdin))

    def text(self, *words: object) -> str:
        """Return what a call writes that answers with plain text."""
        return subprocess.run(
            self.command(*words), capture_output=True, check=True, env=self.env, timeout=60
        ).stdout.decode()

    def spec(self, *commands: Sequence[str], **changes: Any) -> Document:
        """A job of one node whose ranks run these commands; `changes` replace keys of the spec, or of its gate."""
        number = next(_numbers)
        return {
            "protocol": 1,
            "job": f"job{os.getpid()}x{number}",
            "name": "test",
            "attempt": 1,
            "epoch": number,
            "node": self.name,
            "node_rank": 0,
            "cwd": "/",
            "user": getpass.getuser(),
            "grace_s": 5,
            "processes": [
                {"rank": rank, "local_rank": rank, "command": list(command), "env": {}}
                for rank, command in enumerate(commands)
            ],
            "gate": {
                "node": self.name,
                "address": "127.0.0.1",
                "port": free_port(),
                "nodes": [self.name],
                "token": "0123456789abcdef",
                "timeout_s": 20,
                **changes.pop("gate", {}),
            },
            **changes,
        }

    def start(self, spec: Document) -> Answer:
        return self.call("start", stdin=json.dumps(spec).encode())

    def status(self, spec: Document) -> Document:
        attempts = self.call("status", "--job", spec["job"], "--attempt", spec["attempt"]).payload["attempts"]
        assert len(attempts) == 1
        return dict(attempts[0])

    def ended(self, spec: Document) -> Document:
        """Wait for the end of the attempt and return its status."""
        answer = self.call("status", "--job", spec["job"], "--attempt", spec["attempt"], "--wait-end", PATIENCE_S)
        status = dict(answer.payload["attempts"][-1])
        assert status["ended_at"], status
        return status

    def stop(self, spec: Document, *words: object) -> Answer:
        return self.call("stop", "--job", spec["job"], *words)

    def log(self, spec: Document, rank: int = 0) -> str:
        path = self.directory(spec) / f"rank-{rank}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def directory(self, spec: Document) -> Path:
        return self.state_dir / "jobs" / f"{spec['job']}.{spec['attempt']}"

    def kill_supervisor(self, spec: Document) -> None:
        pid = self.status(spec)["supervisor"]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid), "the supervisor is dead")

    def clear(self) -> None:
        """End whatever a test has left, and see that the node could."""
        for attempt in self.call("status").payload["attempts"]:
            answer = self.call("stop", "--job", attempt["job"], "--grace", 0)
            assert answer.exit_code == 0, answer


def gang(nodes: Sequence[Node], command: Sequence[str], *, linked: bool = False, **changes: Any) -> list[Document]:
    """The specs of one job with one rank on each node; the first node has the gate, and the hub if they are linked."""
    specs = [node.spec(command, **changes) for node in nodes]
    port = free_port() if linked else None
    for number, spec in enumerate(specs):
        spec.update(job=specs[0]["job"], epoch=specs[0]["epoch"], node_rank=number, link_port=port)
        spec["addresses"] = {node.name: "127.0.0.1" for node in nodes}
        spec["gate"] = {**specs[0]["gate"], "nodes": [node.name for node in nodes]}
        spec["processes"][0]["rank"] = number
    return specs


def start_all(nodes: Sequence[Node], specs: Sequence[Document]) -> list[Answer]:
    """Start the parts of a job on all nodes at once, and return all answers."""
    calls = [node.begin("start", stdin=json.dumps(spec).encode()) for node, spec in zip(nodes, specs, strict=True)]
    return [node.finish(call) for node, call in zip(nodes, calls, strict=True)]
