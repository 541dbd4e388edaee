# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs and leases, whatever is done to them in whatever order, and whatever fails meanwhile."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from muster.cluster import Cluster, Outcome
from muster.model import ENDED, Job, MusterError, StoreError
from muster.store import DirectoryStore

from tests.unit.samples import Clock, facts, spec


class Life(RuleBasedStateMachine):
    """Nothing has two holders, and leases and states agree."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.directory = tempfile.TemporaryDirectory()
        self.cluster = Cluster(DirectoryStore(Path(self.directory.name)), actor="machine", clock=self.clock)
        self.cluster.sync_nodes([facts("n1", slots=2), facts("n2", slots=1), facts("n3", gpu=2)])

    def teardown(self) -> None:
        self.directory.cleanup()

    def _any(self, data: st.DataObject) -> Job:
        jobs = self.cluster.view().jobs
        return self.cluster.job(jobs[data.draw(st.integers(0, 9)) % len(jobs)]["id"])

    def _try(self, act: Callable[[], object]) -> None:
        serial = self.cluster.view().serial
        try:
            act()
        except MusterError:
            assert self.cluster.view().serial == serial, "what is refused changes nothing"

    @rule(
        size=st.sampled_from([{"slots": 1}, {"nodes": 1}, {"nodes": 2}, {"gpus": 1}, {"gpus": 2}]),
        restarts=st.sampled_from([0, 2]),
    )
    def launch(self, size: dict[str, int], restarts: int) -> None:
        self.clock.passes(0.001)
        self._try(lambda: self.cluster.allocate(spec(**size, max_restarts=restarts)))

    @rule(size=st.sampled_from([{"slots": 2}, {"nodes": 9}]))
    def submit(self, size: dict[str, int]) -> None:
        self.clock.passes(0.001)
        self.cluster.submit(spec(**size))

    @rule(seconds=st.sampled_from([1, 601, 100 * 86400, -1, -3600, -100 * 86400]))
    def wait(self, seconds: int) -> None:
        """Clocks are also put forward, and back."""
        self.clock.passes(seconds)

    @rule()
    def go_on_in_another_process(self) -> None:
        """Whoever did all this has died; nothing but what is on disk is left."""
        self.cluster = Cluster(DirectoryStore(Path(self.directory.name)), actor="another", clock=self.clock)

    @rule(call=st.sampled_from(["pwrite", "fdatasync"]))
    def have_a_disk_that_fails(self, call: str) -> None:
        def refuse(*_arguments: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        before = self.cluster.view()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, call, refuse)
            with pytest.raises(StoreError):
                self.cluster.submit(spec(slots=1))
        assert (self.cluster.view().serial, self.cluster.view().jobs) == (before.serial, before.jobs)

    @rule(slots=st.integers(1, 3), gpu=st.integers(1, 3), keep=st.booleans())
    def change_the_hardware(self, slots: int, gpu: int, keep: bool) -> None:
        found = [facts("n1", slots=slots), facts("n2", slots=1), facts("n3", gpu=gpu)]
        self.cluster.sync_nodes(found if keep else found[:2], keep=["n1", "n2", "n3"])

    @precondition(lambda self: self.cluster.view().jobs)
    @rule(data=st.data(), verb=st.sampled_from(["starting", "running", "withdraw", "finish"]), behind=st.integers(1, 3))
    def hear_from_an_older_epoch(self, data: st.DataObject, verb: str, behind: int) -> None:
        job = self._any(data)
        number = (job.attempt.epoch if job.attempt else 0) - behind
        before = self.cluster.job(job.id)
        with pytest.raises(MusterError):
            if verb == "finish":
                self.cluster.finish(job.id, number, Outcome("SUCCEEDED"), cleared=["n1", "n2", "n3"])
            else:
                getattr(self.cluster, verb)(job.id, number)
        assert self.cluster.job(job.id) == before

    @precondition(lambda self: self.cluster.view().jobs)
    @rule(data=st.data(), verb=st.sampled_from(["allocate", "starting", "running", "withdraw", "give_up", "unwanted"]))
    def step(self, data: st.DataObject, verb: str) -> None:
        job = self._any(data)
        number = job.attempt.epoch if job.attempt else 0
        acts: dict[str, Callable[[], object]] = {
            "allocate": lambda: self.cluster.allocate(job.id),
            "starting": lambda: self.cluster.starting(job.id, number),
            "running": lambda: self.cluster.running(job.id, number),
            "withdraw": lambda: self.cluster.withdraw(job.id, number),
            "unwanted": lambda: self.cluster.unwanted(job.id, "somebody said so"),
            "give_up": lambda: self.cluster.give_up(job.id, "there is no node for it"),
        }
        self._try(acts[verb])
        now = {row["id"]: len(row["attempts"]) for row in self.cluster.view().jobs}
        assert not job.unwanted or now.get(job.id, 0) <= len(job.attempts), "it is to end, and not begun again"

    @precondition(lambda self: self.cluster.view().jobs)
    @rule(
        data=st.data(),
        cleared=st.sets(st.sampled_from(["n1", "n2", "n3"])),
        state=st.sampled_from(["SUCCEEDED", "FAILED", "LOST", "release"]),
    )
    def end(self, data: st.DataObject, cleared: set[str], state: Any) -> None:
        job = self._any(data)
        doubtful = {name: "no answer" for name in {"n1", "n2", "n3"} - cleared}
        if state == "release":
            self.cluster.release(job.id, cleared=cleared, doubtful=doubtful)
        else:
            number = job.attempt.epoch if job.attempt else 0
            outcome = Outcome(state, "" if state == "SUCCEEDED" else "so said the nodes", blamed=("n1",))
            self._try(lambda: self.cluster.finish(job.id, number, outcome, cleared=cleared, doubtful=doubtful))
        held = {lease.node for lease in self.cluster.leases()}
        self.cluster.resume({"n1", "n2", "n3"} - held)

    @rule(size=st.sampled_from([{"slots": 2}, {"nodes": 2}]), cleared=st.sets(st.sampled_from(["n1", "n2", "n3"])))
    def fail_and_be_started_again(self, size: dict[str, int], cleared: set[str]) -> None:
        """On nodes that keep what was not cleared, if they are offered again."""
        self.clock.passes(0.001)
        try:
            job, _plan = self.cluster.allocate(spec(**size, max_restarts=2))
        except MusterError:
            return
        number = job.attempts[-1].epoch
        self.cluster.starting(job.id, number)
        self.cluster.running(job.id, number)
        doubtful = {name: "no answer" for name in {"n1", "n2", "n3"} - cleared}
        job = self.cluster.finish(job.id, number, Outcome("LOST", "n1 is gone"), cleared=cleared, doubtful=doubtful)
        assert job.awaits_restart
        self.cluster.resume(["n1", "n2", "n3"])
        self._try(lambda: self.cluster.allocate(job.id))
        held = {lease.node for lease in self.cluster.leases()}
        self.cluster.drain(held, reason="it holds a lease")

    @precondition(lambda self: any(len(row["attempts"]) > 1 for row in self.cluster.view().jobs))
    @rule(data=st.data(), cleared=st.sets(st.sampled_from(["n1", "n2", "n3"])))
    def hear_of_an_attempt_that_is_behind(self, data: st.DataObject, cleared: set[str]) -> None:
        """What it says counts for nothing, and only its own leases are given back."""
        again = [self.cluster.job(row["id"]) for row in self.cluster.view().jobs if len(row["attempts"]) > 1]
        job = again[data.draw(st.integers(0, 9)) % len(again)]
        mine = [lease for lease in self.cluster.leases(job.id) if lease.attempt == len(job.attempts)]
        number = data.draw(st.integers(1, len(job.attempts) - 1))
        after = self.cluster.give_back(job.id, number, cleared=cleared, said=dict.fromkeys(cleared, "had succeeded"))
        assert (after.state, after.attempt) == (job.state, job.attempt)
        left = [lease for lease in self.cluster.leases(job.id) if lease.attempt == len(job.attempts)]
        assert left == mine
        assert all(after.attempts[number - 1].late[name] == "had succeeded" for name in cleared)

    @invariant()
    def what_must_hold_holds(self) -> None:
        assert self.cluster.view().violations == []

    @invariant()
    def nothing_is_held_twice(self) -> None:
        leases = self.cluster.leases()
        held = [(lease.node, part) for lease in leases for part in (*lease.gpus, *lease.slots)]
        assert len(held) == len(set(held))
        ports = [port for lease in leases for port in lease.ports]
        assert len(ports) == len(set(ports))

    @invariant()
    def jobs_and_leases_agree(self) -> None:
        leases = self.cluster.leases()
        for document in self.cluster.view().jobs:
            job = self.cluster.job(document["id"])
            assert job.restarts <= job.spec.max_restarts
            last = len(job.attempts)
            mine = {lease.node for lease in leases if (lease.job, lease.attempt) == (job.id, last)}
            planned = {part["node"] for part in job.attempt.plan["nodes"]} if job.attempt else set()
            assert mine <= planned
            if job.state in ("ALLOCATED", "STARTING"):
                assert mine == planned, "whoever is about to start holds all of its nodes"
            if job.state == "QUEUED":
                assert not mine or job.awaits_restart
            if job.attempt is not None and job.state not in ("QUEUED", "CANCELED"):
                assert job.state in (job.attempt.state, job.ran[-1].state if job.ran else "")
            assert (job.ended_at is not None) == (job.state in ENDED)


Life.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestWhateverHappensToJobs = Life.TestCase
