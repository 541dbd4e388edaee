# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ranks of one node: starting them, and what became of each."""

from __future__ import annotations

import contextlib
import os
import signal

from . import bounded, environment, hang, logs, oom, preflight, processes, record, stacks
from .clock import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .accounts import Account
    from .layout import Layout
    from .processes import Process

    Document = dict[str, Any]

CANNOT_EXECUTE = 126
STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
SHORTEST_SECRET = 4
"""A shorter value would be found in every second word."""


class Ranks:
    """The rank processes of one attempt. `documents` is what the status shows of them, in the order of the plan."""

    def __init__(self, layout: Layout, spec: Document, account: Account) -> None:
        self._layout = layout
        self._spec = spec
        self._directory = layout.attempt(spec["job"], spec["attempt"])
        self._account = account
        values = {process["env"].get(name, "") for process in spec["processes"] for name in spec["secrets"]}
        self._secrets = sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True)
        self._oom_kills = self._oom_kills_next = oom.kills() or 0
        self.documents: list[Document] = []

    def start(self) -> Document | None:
        """Start every rank; return the failure of the first that could not be started, and start no more after it."""
        for process in self._spec["processes"]:
            rank = {
                "rank": process["rank"],
                "local_rank": process["local_rank"],
                "pid": None,
                "start_ticks": None,
                "state": "failed",
                "exit_code": None,
                "signal": None,
                "oom": False,
                "started_at": now(),
                "ended_at": None,
                "log": os.path.join(self._directory, f"rank-{process['rank']}.log"),
            }
            self.documents.append(rank)
            try:
                rank["pid"] = self._spawn(process, rank["log"])
            except OSError as error:
                rank["ended_at"] = rank["started_at"]
                return {**self.failure(rank), "reason": f"it could not be started: {error.strerror}"}
            rank["start_ticks"] = processes.start_ticks(rank["pid"])
            rank["state"] = "running"
        return None

    def running(self) -> bool:
        return any(rank["state"] == "running" for rank in self.documents)

    def reap(self, ending: Callable[[], bool]) -> list[Document]:
        """Take leave of every child that has ended, and return the ranks among them.

        `ending()`: the attempt is being ended, so a rank that ended was stopped; otherwise what is not exit code 0
        failed. It is asked after each end: systemd signals the supervisor first, but the ranks right after it.
        Orphans of the job end up here too: this process is their subreaper.
        """
        ended = []
        by_pid = {rank["pid"]: rank for rank in self.documents if rank["state"] == "running"}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in by_pid:
                self._close(by_pid[pid], status, ending())
                ended.append(by_pid[pid])
        return ended

    def note_oom_kills(self) -> None:
        """Called every few seconds: only a kill since the call before last can be the end of a rank that ends now."""
        self._oom_kills, self._oom_kills_next = self._oom_kills_next, oom.kills() or 0

    def bound_logs(self) -> None:
        """Called every few seconds: keep each log to what it may take of the disk, if the file system can do that."""
        for rank in self.documents:
            with contextlib.suppress(OSError, AttributeError):  # a C library may not have the call
                bounded.trim(rank["log"], self._spec["max_log_mib"] * 2**20)

    def left(self) -> list[Process]:
        """Return every living process that the job has started."""
        return processes.descendants([os.getpid()])

    def failure(self, rank: Document) -> Document:
        """Return what is known about why this rank failed."""
        if rank["signal"]:
            reason = f"killed by {rank['signal']}" + (" (out of memory)" if rank["oom"] else "")
        else:
            reason = f"exit code {rank['exit_code']}"
        error = logs.error_text(self._error_file(rank["rank"]), self._account.uid)
        return {
            **{key: rank[key] for key in ("rank", "local_rank", "exit_code", "signal", "oom")},
            "node": self._spec["node"],
            "cause": "rank",
            "at": rank["ended_at"],
            "reason": reason,
            "error": error and self._masked(error),
            "tail": [self._masked(line) for line in logs.tail(rank["log"], logs.TAIL_LINES)],
        }

    def _masked(self, text: str) -> str:
        """The text as it may leave the node: without the values of the job's secrets. The log itself stays as it is."""
        for value in self._secrets:
            text = text.replace(value, record.SECRET)
        return text

    def time_limit_failure(self) -> Document:
        return self._failure_of_all("time_limit", f"the time limit of {self._spec['time_limit_s']:g} s reached")

    def hang_failure(self) -> Document:
        used = "GPU memory" if self._spec["gpus"] else "processor"
        limit = self._spec["hang_timeout_s"]
        return self._failure_of_all("hang", f"it hangs: no output and no {used} use by any rank for {limit:g} s")

    def vigil(self) -> hang.Vigil | None:
        """Return who notices that these ranks hang, if the job wants that."""
        limit = self._spec["hang_timeout_s"]
        if limit is None:
            return None
        return hang.Vigil(limit, [rank["log"] for rank in self.documents], self._spec["gpus"], self.left)

    def dump_stacks(self) -> None:
        """Append where each rank, and what it has started, is stuck to its log, if py-spy is there."""
        table = processes.everything()
        found = []
        for rank in self.documents:
            if rank["state"] == "running":
                family = [rank["pid"], *(child.pid for child in processes.descendants([rank["pid"]], table))]
                found += [(pid, rank["log"]) for pid in family]
        stacks.dump(found, self._spec["processes"][0]["env"].get("PATH", environment.PATH))

    def _failure_of_all(self, cause: str, reason: str) -> Document:
        """A failure of the whole attempt, and no rank's own: the tail is that of the first here."""
        return {**self.failure(self.documents[0]), "cause": cause, "at": now(), "reason": reason}

    def _error_file(self, rank: int) -> str:
        return os.path.join(self._directory, "errors", f"error-{rank}.json")

    def _close(self, rank: Document, status: int, ending: bool) -> None:
        rank["ended_at"] = now()
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            rank["exit_code"] = code
        else:
            rank["signal"] = _signal_name(-code)
        if ending:
            rank["state"] = "stopped"
            return
        rank["state"] = "failed" if code else "succeeded"
        rank["oom"] = code == -signal.SIGKILL and (oom.kills() or 0) > self._oom_kills

    def _spawn(self, process: Document, log: str) -> int:
        error_file = self._error_file(process["rank"])
        env = environment.of_rank(self._layout, self._spec, process, self._account, error_file)
        cwd = environment.working_directory(self._spec, self._account)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        supervisor = os.getpid()
        # A stop that comes before the rank has its own ways with signals would meet the supervisor's, and be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(output)
            return pid
        try:
            self._become_rank(output, cwd, supervisor)
            file = preflight.find_executable(process["command"][0], env.get("PATH", environment.PATH), cwd)
            os.execve(file or process["command"][0], process["command"], env)
        except OSError as error:
            os.write(2, f"muster: cannot start {process['command'][0]!r} in {cwd}: {error.strerror}\n".encode())
        os._exit(CANNOT_EXECUTE)

    def _become_rank(self, output: int, cwd: str, supervisor: int) -> None:
        # A session of its own: a rank that signals its whole process group must not hit the supervisor.
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # What is ignored here, by Python or by whoever began all this (nohup, a shell's &), exec would hand on.
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        self._account.become()
        # A supervisor that dies takes its ranks along; after the change of user, which would undo it.
        processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:
            os._exit(CANNOT_EXECUTE)
        os.chdir(cwd)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
