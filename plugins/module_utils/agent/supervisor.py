# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that an attempt's ranks on this node belong to: it starts them, outlives whoever asked for them, ends
them, and leaves a record that is true.

Nothing may be imported after it has begun: the agent's file may be replaced while it runs.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from . import accounts, gate, link, preflight, processes, record, retention, sockets, units
from .clock import now
from .errors import AgentError
from .locks import Locks
from .ranks import Ranks
from .stop import ABORT_GRACE_S
from .wake import Wake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Any

    from .accounts import Account
    from .layout import Layout

    Document = dict[str, Any]
    Problem = dict[str, str]

TICK_S = 5.0
SWEEP_PAUSE_S = 0.25
KILL_PAUSE_S = 0.02
STACKS_S = 10.0  # what ranks here and on the other nodes need to write their stacks
KILL_PATIENCE_S = 10.0  # what still lives then waits in the kernel: said in the record, and waited for
PREFLIGHT_SHARE = 0.8  # of the gate's timeout: a hung preflight must still be reported in time


class AlreadyThere(Exception):
    """This node has a record of the attempt."""


class Supervisor:
    """One attempt on this node, from its claim on the job's directory to the last process."""

    def __init__(self, layout: Layout, spec: Document, unit: str | None) -> None:
        self._layout = layout
        self._spec = spec
        self._directory = layout.attempt(spec["job"], spec["attempt"])
        self._stop_file = record.stop_path(layout, spec["job"], spec["attempt"])
        self._locks = Locks(layout, spec)
        self._wake = Wake()
        self._link = link.Link()
        self._broken = False
        """Whether a rank has failed: the others wait in vain for it."""
        processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1)
        os.umask(0o022)
        self.status = record.first(spec, unit)

    def begin(self) -> None:
        """Claim the attempt, ask all nodes, and start the ranks if all say yes.

        Afterwards the status is `running`, `refused` (nothing is left on disk) or, if a rank could not be started,
        `failed`. Raises AlreadyThere.
        """
        self._claim()
        listener, link_listener, problems = self._listen()
        problems += self._outdated() or self._locks.take()
        account = None
        try:
            account = accounts.for_job(self._spec["user"])
        except AgentError as error:
            problems.append({"code": error.code, "message": error.message})
        if account:
            limit = max(5.0, PREFLIGHT_SHARE * self._spec["gate"]["timeout_s"])
            problems += preflight.check(self._spec, account, limit, self._layout)
            problems += preflight.fitness(self._layout) if self._spec["preflight"] else []
        waiter = sockets.Waiter(self._wake, self._stop_wanted)
        try:
            verdict = gate.pass_through(
                self._spec, listener, problems, waiter, lambda deadline: self._join(waiter, deadline)
            )
            if self._stop_wanted():
                raise sockets.Interrupted
        except sockets.Interrupted:
            verdict = [gate.stopped(self._spec)]
        if link_listener:
            self._link = link.Hub(self._spec, link_listener)
        if verdict or account is None:
            self._refuse(verdict)
        else:
            self._start(account)

    def watch(self) -> None:
        """Follow the ranks to the end, and return when no process of the job is left."""
        limit = self._spec["time_limit_s"]
        deadline = time.monotonic() + limit if limit is not None else None
        tick = time.monotonic() + TICK_S
        vigil = self._ranks.vigil()
        while True:
            ended = self._ranks.reap(self._stop_wanted)
            failed = [rank for rank in ended if rank["state"] == "failed"]
            if failed:
                self._broken = True
                self.status["failure"] = self._ranks.failure(failed[0])
                if self._link.call:  # it may have failed of what this is about
                    self.status["lost"] = self._link.call["lost"]
                return self._finish("failed")
            if self._stop_wanted():
                if self._shut_down():
                    self.status["lost"] = [self._spec["node"]]
                return self._finish("canceled")
            if self._link.call and self._link.call["hang"]:
                self._tell_where_it_hangs()
                self._broken = True
                self.status["failure"] = self._ranks.hang_failure()
                return self._finish("failed")
            if self._link.call:
                self.status["lost"] = self._link.call["lost"]
                return self._finish("canceled")
            if not self._ranks.running():
                return self._finish("succeeded")
            if deadline is not None and time.monotonic() >= deadline:
                self.status["failure"] = self._ranks.time_limit_failure()
                return self._finish("failed")
            if ended:
                self._write()
            if time.monotonic() >= tick:
                self._ranks.note_oom_kills()
                self._ranks.bound_logs()
                tick = time.monotonic() + TICK_S
            if vigil and time.monotonic() >= vigil.due:
                self._link.idle(vigil.look())
            due = vigil.due if vigil else None
            self._wait(min(when for when in (tick, deadline, due) if when is not None))

    def _tell_where_it_hangs(self) -> None:
        """Let the stacks of the ranks be written into their logs, as far as that can be had."""
        self._ranks.dump_stacks()
        if self._spec["hang_signal"]:
            for process in self._ranks.left():
                processes.send(process, getattr(signal, self._spec["hang_signal"]))
        until = time.monotonic() + STACKS_S
        while time.monotonic() < until:  # ranks that are ended too soon would wake those on other nodes
            self._wake.wait(until)

    def _claim(self) -> None:
        """Make the attempt's directory, with everything in it, in one step: a second start finds it whole or not at
        all."""
        self._layout.create()
        temporary = f"{self._layout.jobs}/.{self._spec['job']}.{self._spec['attempt']}.{os.getpid()}"
        os.mkdir(temporary, 0o755)
        record.write_json(os.path.join(temporary, "spec.json"), self._spec, mode=0o600)
        record.write_json(os.path.join(temporary, "status.json"), self.status)
        try:
            os.rename(temporary, self._directory)
        except OSError:
            record.remove(temporary)
            raise AlreadyThere from None
        log = os.open(os.path.join(self._directory, "supervisor.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 2)
        os.close(log)

    def _listen(self) -> tuple[socket | None, socket | None, list[Problem]]:
        """Bind the gate's port and the link's, the latter first: who has reached the gate can link itself."""
        node, address, problems = self._spec["gate"]["node"], self._spec["gate"]["address"], []
        if self._spec["node"] != node:
            return None, None, []
        listeners: list[socket | None] = []
        for port in (self._spec["link_port"], self._spec["gate"]["port"]):
            try:
                listeners.append(sockets.listen(address, port) if port else None)
            except OSError as error:
                listeners.append(None)
                problems.append(gate.port_problem(node, port, error))
        return listeners[1], listeners[0], problems

    def _join(self, waiter: sockets.Waiter, deadline: float) -> list[Problem]:
        """Link this node to the gate's; the problem that keeps it from that, if there is one."""
        port, there = self._spec["link_port"], self._spec["gate"]
        if port and not self._link.descriptors():
            try:
                self._link = link.Spoke(self._spec, sockets.connect(there["address"], port, waiter, deadline))
            except OSError as error:
                where = f"{there['node']} at {there['address']}:{port}"
                message = f"{self._spec['node']} cannot reach {where} ({error.strerror}): a firewall between them?"
                return [{"code": "link_unreachable", "message": message}]
        return []

    def _outdated(self) -> list[Problem]:
        for job, attempt in self._layout.attempts(self._spec["job"]):
            other = record.read_json(record.status_path(self._layout, job, attempt))
            if other and other["epoch"] > self._spec["epoch"]:
                message = (
                    f"this node has seen epoch {other['epoch']} of the job; this start is of {self._spec['epoch']}"
                )
                return [{"code": "stale_epoch", "message": message}]
        return []

    def _refuse(self, problems: list[Problem]) -> None:
        self._link.close()
        self._locks.release()
        self.status.update(state="refused", problems=problems, ended_at=now())
        record.remove(self._directory)

    def _start(self, account: Account) -> None:
        self._locks.confirm()
        self._hand_over(account)
        self._ranks = Ranks(self._layout, self._spec, account)
        self.status["ranks"] = self._ranks.documents
        self.status["started_at"] = now()
        self.status["failure"] = self._ranks.start()
        if self.status["failure"]:
            self._broken = True
            self._finish("failed")
        else:
            self.status["state"] = "running"
            self._write()

    def _hand_over(self, account: Account) -> None:
        """Let the job's user read the records and logs, and write error files; nobody else looks in."""
        errors = os.path.join(self._directory, "errors")
        os.mkdir(errors, 0o700)
        if account.switch:
            os.chown(errors, account.uid, account.gid)
            os.chown(self._directory, -1, account.gid)
        os.chmod(self._directory, 0o750)

    def _finish(self, state: str) -> None:
        """End everything the job has started: SIGTERM, the grace, SIGKILL; then close the record."""
        abort = self._broken or bool(self.status["lost"])
        self._link.end(state, self._reason(state), self.status["lost"], abort)
        warned: set[int] = set()
        kill_at = time.monotonic() + self._stop_request()["grace_s"]
        left = self._left()
        while left and time.monotonic() < kill_at:
            for process in left:
                if process.pid not in warned:  # once each: a process may use the time to save its state
                    warned.add(process.pid)
                    processes.send(process, signal.SIGTERM)
            self._wait(min(kill_at, time.monotonic() + SWEEP_PAUSE_S))
            kill_at = min(kill_at, time.monotonic() + self._stop_request()["grace_s"])
            left = self._left()
        give_up = time.monotonic() + KILL_PATIENCE_S
        while left:
            for process in left:
                processes.send(process, signal.SIGKILL)
            patient = time.monotonic() < give_up
            if not patient and len(left) != self.status["left"]:
                self.status["left"] = len(left)
                self._end(state)
            self._wake.wait(time.monotonic() + (KILL_PAUSE_S if patient else TICK_S))
            left = self._left()
        self.status["left"] = 0
        record.forget_secrets(self._layout, self._spec["job"], self._spec["attempt"])
        self._locks.release()  # before the record says so: who reads it may start the next job at once
        self._end(state)
        while self._link.awaited() and not self._stop_wanted():
            self._wait(time.monotonic() + TICK_S)
        self._link.close()
        retention.forget_old(self._layout)

    def _left(self) -> list[processes.Process]:
        left = self._ranks.left()
        self._ranks.reap(lambda: True)  # afterwards: with nothing left, every rank has been taken leave of
        return left

    def _stop_wanted(self) -> bool:
        return self._wake.told_to_stop or os.path.exists(self._stop_file)

    def _stop_request(self) -> Document:
        asked = record.read_json(self._stop_file)
        if asked:
            return asked
        call, grace_s = self._link.call, self._spec["grace_s"]
        if self._broken or (call and call["abort"]):
            grace_s = min(grace_s, ABORT_GRACE_S)
        if call and not self._wake.told_to_stop:
            return {"reason": call["reason"], "grace_s": grace_s}
        reason = "the node shuts down" if self.status["lost"] else "the supervisor was told to stop (SIGTERM)"
        return {"reason": reason, "grace_s": grace_s}

    def _shut_down(self) -> bool:
        """Whether nobody asks for a stop but the node itself, which goes down."""
        asked = os.path.exists(self._stop_file)
        return self.status["supervisor"]["unit"] is not None and not asked and units.machine_stops()

    def _reason(self, state: str) -> str | None:
        """Why the attempt ends so, in one sentence; None if it ends well."""
        failure = self.status["failure"]
        if state == "canceled":
            return str(self._stop_request()["reason"])
        if failure is None:
            return None
        return str(failure["reason"]) if failure["cause"] != "rank" else f"rank {failure['rank']}: {failure['reason']}"

    def _wait(self, until: float) -> None:
        """Sleep until then (monotonic), a signal, or a word from the other nodes."""
        self._wake.wait(until, self._link.descriptors())
        self._link.heed()

    def _end(self, state: str) -> None:
        """Close the record; a disk that is full now may not be so later, and an end without a record would be lost."""
        self.status.update(state=state, reason=self._reason(state), ended_at=self.status["ended_at"] or now())
        while not self._write():
            self._wake.wait(time.monotonic() + TICK_S)

    def _write(self) -> bool:
        self.status["updated_at"] = now()
        try:
            record.write_json(os.path.join(self._directory, "status.json"), self.status)
        except OSError as error:
            sys.stderr.write(f"{now()} the record cannot be written: {error}\n")
            sys.stderr.flush()
            return False
        return True
