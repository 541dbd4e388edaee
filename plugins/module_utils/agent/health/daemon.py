# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The monitor: looks at the node again and again, and never waits for what may hang.

One thread, one poll(2): on the samplers' answers, on the kernel's log, and on signals. A round asks all samplers that
are due; whoever answers late is judged when it answers. SIGTERM ends it at once; SIGHUP makes it read its settings,
take up what an operator has cleared, and look now.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import select
import signal
import sys
import time
from functools import partial
from typing import Any

from .. import processes, record, units
from ..clock import now as wall
from ..errors import REFUSED, AgentError
from ..layout import Layout
from ..worker import Sample, Worker
from . import alerts, latest, log, notify, report, xid
from .catalogue import BY_NAME, SAMPLERS, check_of
from .gpu_facts import load_library
from .model import next_interval
from .result import CRITICAL, UNKNOWN, WARNING
from .settings import load
from .watch import FAULTS, Change, Watch

Document = dict[str, Any]

KERNEL = "kernel"
JITTER = 0.1
LATER_S = 600.0
ALERTS_DEADLINE_S = 90.0
PATIENCE_S = 1.0
LEVELS = {CRITICAL: 3, WARNING: 4, UNKNOWN: 4}  # of syslog: error, warning; 6 is info


def run(layout: Layout) -> int:
    """Watch the node until SIGTERM. Raises AgentError if it cannot begin: another runs, or the settings are wrong."""
    try:
        for directory in (layout.monitor, layout.health):
            os.makedirs(directory, mode=0o755, exist_ok=True)
    except OSError as error:
        message = f"{error.filename} cannot be made: {error.strerror}"
        raise AgentError("state_dir", message, "run monitor.yml, or set muster_state_dir") from None
    monitor = Daemon(layout)
    lock = _only_one(layout)
    try:
        monitor.run()
    finally:
        os.close(lock)
    if monitor.outdated:
        command = units.agent_command(["--state-dir", layout.state_dir, "daemon"])
        os.execv(command[0], command)
    return 0


def clearings(layout: Layout) -> str:
    """The file in which an operator names checks whose faults are mended, one a line; `*` for all."""
    return os.path.join(layout.monitor, "clear")


def _only_one(layout: Layout) -> int:
    lock = os.open(latest.pid_file(layout), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = latest.running(layout) or {}
        os.close(lock)
        raise AgentError(
            "daemon_runs",
            f"the monitor already runs (process {other.get('pid', 'unknown')})",
            "nothing is to be done",
            REFUSED,
        ) from None
    me = {"pid": os.getpid(), "start_ticks": processes.start_ticks(os.getpid())}
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(me).encode() + b"\n", 0)
    return lock


class Daemon:
    """The state of one run."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.settings = load(layout, BY_NAME)
        self.watch = Watch(self.settings, processes.boot_id())
        self.facts: Document = {}
        self.book: dict[str, Document] = {}
        self.asked_at: dict[str, float] = {}
        self.failures: dict[str, int] = {}
        self.later: set[str] = set()
        self.answered: set[str] = set()
        """The samplers whose facts were judged since the start, or since the settings changed."""
        self.news: list[Change] = []
        self.to_tell: list[Document] = []
        self.sending: list[Document] = []
        self.round_at = self.next_round = latest.boottime()
        self.round_open = False
        self.interval = self.settings.pace.base_s
        self.calm_rounds = 0
        self.over = False
        self.hurried = True
        """Somebody has said now (SIGHUP): obeyed by the next round."""
        self.at_once = False
        """This round asks everybody."""
        self.kernel_log: xid.KernelLog | None = None
        self.workers: dict[str, Worker] = {}
        self.messenger = Worker(self._deliver)
        self.ready = self.outdated = False
        self.agent_file = _identity()
        self.wake, self.woken = os.pipe()

    def run(self) -> None:
        watchdog_s = notify.take()
        load_library()
        self._signals()
        self._begin()
        notify.tell("STATUS=looks at the node for the first time")
        said = time.monotonic()
        while not self.over:
            now = latest.boottime()
            if now >= self.next_round and not self.round_open:
                self._open_round(now)
            self._wait(None if watchdog_s is None else watchdog_s / 3)
            self._collect()
            if self.round_open and not any(self._keeps_round_open(name) for name in self.workers):
                self._close_round()
            if watchdog_s is not None and time.monotonic() - said > watchdog_s / 4:
                notify.tell("WATCHDOG=1")
                said = time.monotonic()
        if not self.outdated:
            notify.tell("STOPPING=1")
        for worker in (*self.workers.values(), self.messenger):
            worker.close()
        self._publish()
        if self.outdated:
            notify.give_back()
        else:
            log.say(6, "the monitor ends")

    def _begin(self) -> None:
        found = latest.paths(self.layout)
        before = record.read_json(found["memory"]) or {}
        went_on = self.watch.restore(before)
        self.book = alerts.read(record.read_json(latest.paths(self.layout)["alerts"]))
        self._employ()
        for name, pid, ticks in before.get("stuck", []):
            if name in self.workers:
                self.workers[name].beware(pid, ticks)
        self._open_kernel_log()
        log.say(6, f"the monitor {'goes on' if went_on else 'begins'}: {self.layout.state_dir}")

    def _employ(self) -> None:
        """A worker for each sampler, but for the kernel's log, which cannot hang."""
        self.workers = {
            name: Worker(partial(sampler.read, self.settings), stays=sampler.stays)
            for name, sampler in SAMPLERS.items()
            if name != KERNEL
        }

    def _open_kernel_log(self) -> None:
        if self.kernel_log:
            self.kernel_log.close()
        self.kernel_log = None
        try:
            self.kernel_log = xid.KernelLog(self.settings.kernel_log)
        except OSError as error:
            self.facts[KERNEL] = xid.unreadable(self.settings, error)

    def _signals(self) -> None:
        os.set_blocking(self.woken, False)
        signal.set_wakeup_fd(self.woken, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signal)

    def _signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self.hurried = True
        else:
            self.over = True

    def _open_round(self, now: float) -> None:
        # Whoever says now while this round begins is heard by the next: the flag is taken before it is obeyed.
        self.at_once = self.hurried
        if self.at_once:
            self.hurried = False
            self._take_orders()
        self.round_at, self.round_open = now, True
        for name, worker in self.workers.items():
            if worker.busy or not self._due(name, now):
                continue
            sampler = SAMPLERS[name]
            # A second try shows soon whether it hangs; from the third on a driver has the time to begin anew.
            quick = worker.alive or self.failures.get(name) == 1
            limit = sampler.deadline_s if quick else sampler.first_deadline_s
            self.asked_at[name] = now
            failed = worker.ask(limit)
            if failed:
                self._take(name, failed)
        self._take_kernel_log()

    def _due(self, name: str, now: float) -> bool:
        if self.at_once or name not in self.asked_at:
            return True
        unsure = any(not track.settled for key, track in self.watch.tracks.items() if check_of(key[0]).sampler == name)
        every_s = 0.0 if unsure else LATER_S if name in self.later else SAMPLERS[name].every_s
        return now - self.asked_at[name] >= every_s

    def _keeps_round_open(self, name: str) -> bool:
        """Slow samplers are not waited for: their answers count when they come."""
        return self.workers[name].busy and SAMPLERS[name].deadline_s <= SAMPLERS["nvml"].deadline_s

    def _wait(self, at_most_s: float | None) -> None:
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        busy = [worker for worker in (*self.workers.values(), self.messenger) if worker.busy]
        for worker in busy:
            poll.register(worker.answers, select.POLLIN)
        if self.kernel_log and self.kernel_log.wakes:
            poll.register(self.kernel_log.descriptor, select.POLLIN)
        waits = [worker.left_s for worker in busy]
        if not self.round_open:
            waits.append(self.next_round - latest.boottime())
        if at_most_s is not None:
            waits.append(at_most_s)
        woken = dict(poll.poll(max(0.0, min(waits, default=PATIENCE_S)) * 1000 + 1))
        if self.wake in woken:
            os.read(self.wake, 4096)
            if self.hurried:
                self.next_round = latest.boottime()
        if self.kernel_log and self.kernel_log.descriptor in woken and self._take_kernel_log():
            self.next_round = latest.boottime()

    def _collect(self) -> None:
        for name, worker in self.workers.items():
            sample = worker.answer() if worker.busy else None
            if sample:
                self._take(name, sample)
        if self.messenger.busy:
            told = self.messenger.answer()
            if told:
                for problem in told.facts if told.failure is None else [f"the alerts were not told: {told.failure}"]:
                    log.say(4, problem)
        if self.to_tell and not self.messenger.busy:
            self.sending = self.to_tell
            if self.messenger.ask(ALERTS_DEADLINE_S) is None:  # else later
                self.to_tell = []

    def _take(self, name: str, sample: Sample) -> None:
        self.failures[name] = 0 if sample.failure is None else self.failures.get(name, 0) + 1
        if sample.failure is None:
            self.facts[name] = sample.facts
        self.later.discard(name)
        if isinstance(sample.facts, dict) and "later" in sample.facts:
            self.later.add(name)
        self.news += self.watch.take(name, sample, latest.boottime())
        if sample.failure is None and name not in self.later:
            self.answered.add(name)

    def _take_kernel_log(self) -> bool:
        """Whether it had news of a GPU."""
        facts = self.facts.get(KERNEL) if self.kernel_log is None else {"error": None, "events": self.kernel_log.read()}
        self._take(KERNEL, Sample(facts))
        return bool(facts and facts["events"])

    def _close_round(self) -> None:
        self.round_open = False
        now = latest.boottime()
        self.calm_rounds = 0 if self.news else self.calm_rounds + 1
        stuck = any(worker.stuck for worker in self.workers.values())
        tracks = self.watch.tracks.values()
        self.interval = next_interval(self.settings.pace, self.interval, tracks, self.calm_rounds, stuck)
        self.next_round = self.round_at + self.interval * random.uniform(1 - JITTER, 1 + JITTER)
        self.next_round = now if self.hurried else max(self.next_round, now)
        self._announce()
        self._publish()
        if not self.ready:  # who waits for the start finds a report
            notify.tell("READY=1")
            self.ready = True
        log.keep_small(self.layout)
        if _identity() not in (None, self.agent_file):
            log.say(6, "the agent was replaced: its new version takes over")
            self.over = self.outdated = True

    def _announce(self) -> None:
        changes, self.news = self.news, []
        for change in [one for one in changes if one.news]:
            do = f"; {change.result.action}" if change.result.action and change.after in FAULTS else ""
            level = LEVELS.get(change.after, 6)
            log.say(level, f"{change.check} {change.after}: {change.result.reason}{do}")
        for sampler in dict.fromkeys(check_of(one.check).sampler for one in changes if one.silent):
            log.say(4, f"{next(one.result.reason for one in changes if check_of(one.check).sampler == sampler)}")
        told = alerts.enter(self.book, changes, boot_id=self.watch.boot_id, at=wall())
        told += alerts.end(self.book, self._looked_at(), at=wall())
        if told and (self.settings.alert_command or self.settings.alert_url):
            self.to_tell += told
        with _tolerating("the history cannot be written"):
            report.note(self.layout, [one for one in changes if one.news])
            if told:
                report.replace(latest.paths(self.layout)["alerts"], json.dumps(self.book))

    def _looked_at(self) -> set[str]:
        """What is looked at, and what its sampler has not yet said anything of; as the keys of alerts."""
        known = {"|".join(key) for key in self.watch.tracks}
        pending = {key for key, alert in self.book.items() if check_of(alert["check"]).sampler not in self.answered}
        return known | pending

    def _publish(self) -> None:
        document = report.make(self.watch, self.facts, latest.boottime(), source="daemon", interval_s=self.interval)
        document["alerts"] = alerts.active(self.book)
        stuck = [[name, *worker.stuck] for name, worker in self.workers.items() if worker.stuck]
        with _tolerating("the report cannot be written"):
            report.publish(self.layout, document, self.watch, stuck)
        score = "" if document["score"] is None else f" ({document['score']})"
        notify.tell(f"STATUS={document['state']}{score}{': ' if document['reason'] else ''}{document['reason']}")

    def _take_orders(self) -> None:
        """Read settings and clearings; at the start as well, for those that came while no monitor ran."""
        try:
            settings = load(self.layout, BY_NAME)
        except AgentError as error:
            log.say(3, f"{error.message}: the old ones stay in force")
            settings = self.settings
        if settings != self.settings:
            before = self.watch.to_document()
            self.settings = settings
            self.watch = Watch(settings, self.watch.boot_id)
            self.watch.restore(before)
            for worker in self.workers.values():
                worker.close()
            stuck = {name: worker.stuck for name, worker in self.workers.items()}
            self._employ()
            for name, process in stuck.items():
                if process:
                    self.workers[name].beware(*process)
            self.asked_at.clear()
            self.answered.clear()
            self._open_kernel_log()
        path = clearings(self.layout)
        if os.path.exists(path):
            with _tolerating("the clearings cannot be read"):
                os.replace(path, f"{path}.taken")  # one that comes meanwhile is taken up the next time
                with open(f"{path}.taken") as file:
                    names = file.read().split()
                for name in names:
                    self.news += self.watch.clear(None if name == "*" else name, latest.boottime())

    def _deliver(self, doing: Any) -> list[str]:
        return alerts.deliver(self.settings, self.sending, doing)


def _identity() -> tuple[int, int, int] | None:
    """What tells the agent's file from one that takes its place; None while there is none."""
    try:
        found = os.stat(sys.argv[0])
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


@contextlib.contextmanager
def _tolerating(what: str) -> Any:
    """A full disk is something to report, and no reason to stop looking."""
    try:
        yield
    except OSError as error:
        log.say(3, f"{what}: {error.strerror}")
