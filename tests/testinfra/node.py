# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node as Testinfra reaches it: each command bounded in time, and each answer asked for once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest

AGENT_TIMEOUT_S = 60
"""A node without persistence mode wakes up its GPUs when it is asked for them."""
COMMAND_TIMEOUT_S = 20
KILL_AFTER_S = 2

Document = dict[str, Any]


class Node:
    """``host``: of Testinfra's fixture of that name."""

    def __init__(self, host: Any) -> None:
        self.host = host
        bound(host.backend)
        self._answers: dict[tuple[str, ...], Document] = {}

    @cached_property
    def variables(self) -> Document:
        """Its variables in the inventory; none, where the host was not given as ``ansible://``."""
        return dict(self.host.backend.get_variables()) if self.host.backend.HAS_RUN_ANSIBLE else {}

    @cached_property
    def expected(self) -> Document:
        """What verify.yml has found out about how the node is to be: see the module ``testinfra``."""
        return dict(self.variables.get("muster_verify") or {})

    def health_setting(self, *keys: str) -> Any:
        """What the variable ``muster_health`` says there; None if nothing."""
        found: Any = self.variables.get("muster_health")
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def state_dir(self) -> str:
        """Where the agent keeps what it knows."""
        return str(self.variables.get("muster_state_dir") or "/var/lib/muster")

    @property
    def agent_file(self) -> str:
        """The agent."""
        return f"{self.state_dir}/bin/muster-agent.pyz"

    @property
    def python(self) -> str:
        """The Python that runs the agent."""
        named = str(self.variables.get("ansible_python_interpreter") or "")
        return named if named and not named.startswith("auto") else "python3"

    @cached_property
    def unreachable(self) -> str:
        """Why no command can be run; empty if one can."""
        try:
            done = self.host.run("exit 0")
        except RuntimeError as error:  # as Testinfra says that ssh has failed
            return " ".join(str(error).split())
        return "" if done.rc == 0 else _told(done)

    @cached_property
    def python_version(self) -> tuple[int, ...]:
        """Of the Python that runs the agent; empty if there is none."""
        done = self.host.run("%s -I -S -c 'import sys; print(*sys.version_info[:3])'", self.python)
        return tuple(int(number) for number in done.stdout.split()) if done.rc == 0 else ()

    def ask(self, *words: str) -> Document:
        """The answer of a verb of the agent. The test is skipped if there is none, for another one is about that."""
        if words not in self._answers:
            self._answers[words] = self.try_to_ask(*words)
        answer = self._answers[words]
        if not answer["ok"]:
            pytest.skip("its agent gives no answer")
        return answer

    def try_to_ask(self, *words: str) -> Document:
        """The same, or ``{"ok": False, "error": {"message"}}``."""
        command = f"timeout -k {KILL_AFTER_S} {AGENT_TIMEOUT_S} %s -I -S %s --state-dir %s" + " %s" * len(words)
        done = self.host.run(command, self.python, self.agent_file, self.state_dir, *words)
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            return {"ok": False, "error": {"message": _told(done)}}

    @property
    def monitor(self) -> Document:
        """How the monitor is, as the agent's verb says."""
        return dict(self.ask("monitor", "--action", "status")["monitor"])

    @property
    def report(self) -> Document:
        """What the monitor has said last. The test is skipped where that is old, for another one is about that."""
        report = dict(self.ask("health", "--source", "daemon")["health"])
        if not report.get("fresh") or not report.get("daemon"):
            pytest.skip("its monitor has not looked lately")
        return report

    def clock_skew_s(self) -> tuple[float, float]:
        """How far its clock is ahead of ours, and how far that may be wrong."""
        before = time.time()
        theirs = float(self.host.check_output("date +%s.%N"))
        after = time.time()
        return theirs - (before + after) / 2, (after - before) / 2

    def ranks(self) -> dict[int, str]:
        """The processes of jobs on this node: pid -> job."""
        found = {}
        for line in self.host.check_output(_RANKS).splitlines():
            pid, *settings = line.split("\t")
            environment = dict(setting.partition("=")[::2] for setting in settings)
            # Nodes that are pretended share a machine.
            if environment.get("MUSTER_NODE", self.name) == self.name:
                found[int(pid)] = environment["MUSTER_JOB_ID"]
        return found

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return str(self.host.backend.get_hostname())


_RANKS = r"""
for directory in $(grep -slz '^MUSTER_JOB_ID=' /proc/[0-9]*/environ | sed 's|/environ$||'); do
  own=$(tr '\0' '\n' 2>/dev/null < $directory/environ | grep -E '^MUSTER_(JOB_ID|NODE)=' | tr '\n' '\t')
  test -z "$own" || printf '%s\t%s\n' "${directory#/proc/}" "$own"
done
"""


def bound(backend: Any) -> None:
    """Have every command end, on the node by ``timeout`` and here, whatever hangs there: Testinfra would wait."""
    if getattr(backend, "muster_bound", False):
        return
    backend.muster_bound = True
    quoted: Callable[..., str] = backend.get_command
    limit = f"timeout -k {KILL_AFTER_S} {{}} /bin/sh -c %s"

    def command(text: str, *words: str) -> str:
        seconds = AGENT_TIMEOUT_S + KILL_AFTER_S if text.startswith("timeout ") else COMMAND_TIMEOUT_S
        return str(backend.quote(limit.format(seconds), quoted(text, *words)))

    backend.get_command = command
    runner = getattr(backend, "ansible_runner", None)
    inner = runner and runner.get_host(backend.host)
    if inner and hasattr(inner.backend, "run_ssh"):
        run_local: Callable[..., Any] = inner.backend.run_local
        longest = AGENT_TIMEOUT_S + COMMAND_TIMEOUT_S
        inner.backend.run_local = lambda text, *words: run_local(f"timeout -k {KILL_AFTER_S} {longest} {text}", *words)


def _told(done: Any) -> str:
    """What a command that has failed says."""
    if done.rc == 124:
        return "it did not end in time"
    last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
    return last or f"exit code {done.rc}"
