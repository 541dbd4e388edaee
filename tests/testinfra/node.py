# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node as Testinfra reaches it: each command is bounded in time, and asked once."""

from __future__ import annotations

import json
import posixpath
import shlex
import time
from typing import Any, NamedTuple

import pytest

AGENT_TIMEOUT_S = 60
"""A node without persistence mode wakes up its GPUs when it is asked for them."""
COMMAND_TIMEOUT_S = 20
KILL_AFTER_S = 2
TIMED_OUT = 124
USUAL_STATE_DIR = "/var/lib/muster"
USUAL_SETTINGS = "/etc/muster/agent.json"
BEGIN = "MUSTER-BEGIN"
"""What login scripts print comes before it."""

Document = dict[str, Any]
Rank = tuple[str, str]


class Done(NamedTuple):
    """How a command has ended."""

    rc: int
    stdout: str
    stderr: str

    @property
    def why(self) -> str:
        """What a command that has failed says."""
        if self.rc == TIMED_OUT:
            return "it did not end in time"
        last = (self.stderr.strip() or self.stdout.strip()).rpartition("\n")[2]
        return last or f"exit code {self.rc}"


class Node:
    """``host``: of Testinfra's fixture of that name."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.name = str(host.backend.get_hostname())
        self.variables = self._variables()
        self._done: dict[tuple[object, ...], Done | RuntimeError] = {}

    def look(self) -> None:
        """Ask what most tests will ask, so that many nodes can be asked at once."""
        if self.unreachable:
            return
        if self.python_version:
            self.answer("version")
            self.answer("inventory")
            monitor = self.answer("monitor", "--action", "status").get("monitor")
            self.answer("health", "--source", "daemon")
            if monitor and monitor["unit"]:
                self.systemd(monitor["unit"])
        self.settings()
        self.free_gb()
        self.ranks()

    def run(self, command: str, *words: str, timeout_s: int = COMMAND_TIMEOUT_S, anew: bool = False) -> Done:
        """The end of a shell command, as it was the first time, unless ``anew``. ``words`` take the places of its %s.

        :raises RuntimeError: it could not be run, as Testinfra says that ssh has failed.
        """
        key = (command, *words)
        if anew or key not in self._done:
            script = f"echo {BEGIN}; {command % tuple(shlex.quote(word) for word in words)}"
            try:
                done = self.host.run(f"timeout -k {KILL_AFTER_S} {timeout_s} /bin/sh -c %s", script)
                self._done[key] = Done(done.rc, done.stdout.partition(f"{BEGIN}\n")[2], done.stderr)
            except RuntimeError as error:
                self._done[key] = error
        found = self._done[key]
        if isinstance(found, RuntimeError):
            raise found
        return found

    @property
    def unreachable(self) -> str:
        """Why no command can be run; empty if one can."""
        try:
            done = self.run("exit 0")
        except RuntimeError as error:
            return " ".join(str(error).split())
        return "" if done.rc == 0 else done.why

    @property
    def expected(self) -> Document:
        """What verify.yml has found out about how the node is to be: see the module ``testinfra``."""
        return dict(self.variables.get("muster_verify") or {})

    def live_jobs(self) -> set[str] | None:
        """The jobs that the state has on this node now; None where nobody knows."""
        jobs = (self._variables().get("muster_verify") or {}).get("jobs")
        return None if jobs is None else set(jobs)

    def health_setting(self, *keys: str) -> Any:
        """What the variable ``muster_health`` says there; None if nothing."""
        found: Any = self.variables.get("muster_health")
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def state_dir(self) -> str:
        """Where the agent keeps what it knows."""
        return posixpath.abspath(str(self.variables.get("muster_state_dir") or USUAL_STATE_DIR))

    @property
    def agent_file(self) -> str:
        """The agent."""
        return f"{self.state_dir}/bin/muster-agent.pyz"

    @property
    def python(self) -> str:
        """The Python that runs the agent, with its arguments if it has some (``/usr/bin/env python3``)."""
        named = str(self.variables.get("ansible_python_interpreter") or "")
        return named if named and not named.startswith("auto") else "python3"

    @property
    def python_version(self) -> tuple[int, ...]:
        """Of the Python that runs the agent; empty if there is none."""
        done = self.run(f"{self._python()} -I -S -c 'import sys; print(*sys.version_info[:3])'")
        return tuple(int(number) for number in done.stdout.split()) if done.rc == 0 else ()

    def exists(self, path: str) -> bool:
        """Whether there is something at a path."""
        return self.run("test -e %s", path).rc == 0

    def answer(self, *words: str) -> Document:
        """The answer of a verb of the agent, or ``{"ok": False, "error": {"message"}}``."""
        command = f"{self._python()} -I -S %s --state-dir %s" + " %s" * len(words)
        done = self.run(command, self.agent_file, self.state_dir, *words, timeout_s=AGENT_TIMEOUT_S)
        try:
            return dict(json.loads(done.stdout.strip().rpartition("\n")[2]))
        except ValueError:
            return {"ok": False, "error": {"message": done.why}}

    def ask(self, *words: str) -> Document:
        """The same. The test is skipped if there is no answer, for another one is about that."""
        answer = self.answer(*words)
        if not answer["ok"]:
            pytest.skip("its agent gives no answer")
        return answer

    @property
    def monitor(self) -> Document:
        """How the monitor is, as the agent's verb says."""
        return dict(self.ask("monitor", "--action", "status")["monitor"])

    def settings(self) -> Document | None:
        """What the monitor goes by; None where it has no file of settings, nothing where that is no JSON."""
        usual = self.state_dir == USUAL_STATE_DIR
        done = self.run("cat %s", USUAL_SETTINGS if usual else f"{self.state_dir}/agent.json")
        if done.rc != 0:
            return None
        try:
            return dict(json.loads(done.stdout))
        except (ValueError, TypeError):
            return {}

    @property
    def report(self) -> Document:
        """What the monitor has said last. The test is skipped where that is old, for another one is about that."""
        report = dict(self.ask("health", "--source", "daemon")["health"])
        if not report.get("fresh") or not report.get("daemon"):
            pytest.skip("its monitor has not looked lately")
        return report

    def systemd(self, unit: str) -> tuple[str, str]:
        """What systemd says of a unit: is-enabled, is-active."""
        told = self.run("systemctl is-enabled %s; systemctl is-active %s", unit, unit).stdout.split()
        enabled, active = told if len(told) == 2 else ("unknown", "unknown")
        return enabled, active

    def free_gb(self) -> float | None:
        """What is free for others than root below the state directory; None where there is none."""
        done = self.run("df -Pk %s", self.state_dir)
        return int(done.stdout.splitlines()[-1].split()[3]) * 1024 / 1e9 if done.rc == 0 else None

    def clock_skew_s(self) -> tuple[float, float]:
        """How far its clock is ahead of ours, and how far that may be wrong."""
        before = time.time()
        theirs = float(self.run("date +%%s.%%N", anew=True).stdout)
        after = time.time()
        return theirs - (before + after) / 2, (after - before) / 2

    def ranks(self, *, anew: bool = False) -> dict[int, Rank]:
        """The processes of jobs on this node: pid -> job and attempt."""
        found = {}
        for line in self.run(_RANKS, anew=anew).stdout.splitlines():
            pid, *settings = line.split("\t")
            environment = dict(setting.partition("=")[::2] for setting in settings)
            # Nodes that are pretended share a machine, and so may two clusters that each have a state directory there.
            own = environment.get("MUSTER_NODE", self.name) == self.name
            own = own and environment.get("MUSTER_STATE_DIR", self.state_dir) == self.state_dir
            # What is just becoming another program has no environment.
            if "MUSTER_JOB_ID" in environment and own:
                found[int(pid)] = (environment["MUSTER_JOB_ID"], environment.get("MUSTER_ATTEMPT", ""))
        return found

    def _variables(self) -> Document:
        """Its variables in the inventory; none, where the host was not given as ``ansible://``."""
        return dict(self.host.backend.get_variables()) if self.host.backend.HAS_RUN_ANSIBLE else {}

    def _python(self) -> str:
        return shlex.join(shlex.split(self.python)).replace("%", "%%")


_RANKS = r"""
for directory in $(grep -slz '^MUSTER_JOB_ID=' /proc/[0-9]*/environ | sed 's|/environ$||'); do
  own=$(tr '\0' '\n' 2>/dev/null < $directory/environ |
    grep -E '^MUSTER_(JOB_ID|ATTEMPT|NODE|STATE_DIR)=' | tr '\n' '\t')
  test -z "$own" || printf '%%s\t%%s\n' "${directory#/proc/}" "$own"
done
"""
