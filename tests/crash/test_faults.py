# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel refuses one system call of a transaction: the disk is full, over its quota, or broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.synchronize import Semaphore
from pathlib import Path

import pytest
from muster.model import StoreError
from muster.store import DirectoryStore

from tests.crash import strace
from tests.crash.oracle import Contents, contents, refuse
from tests.crash.processes import Child
from tests.crash.scenes import FOUNDING, GOING_ON, GOING_ON_FOLDED, NEWLY_FOLDED, Scene, Stage, each_of

pytestmark = pytest.mark.usefixtures("strace_there")

WRITING = ("EIO", "ENOSPC", "EDQUOT")
REFUSALS = {
    "write": WRITING,
    "pwrite64": WRITING,
    "fdatasync": WRITING,
    "fsync": WRITING,
    "rename": WRITING,
    "link": (*WRITING, "EOPNOTSUPP"),
    "mkdir": ("ENOSPC", "EDQUOT"),
    "openat": ("EIO", "EMFILE"),
    "pread64": ("EIO",),
    "read": ("EIO",),
}
NOT_FOLDED = "the journal could not be folded into a new snapshot"


@dataclass(frozen=True)
class Outcome:
    """What the writer heard: the error of its transaction, or none; and what else the store had to tell."""

    error: str
    news: list[str]


class Trial:
    """A scene in which system calls are refused."""

    def __init__(self, scene: Scene, directory: Path) -> None:
        self.stage = Stage(scene, directory)
        self._trace = directory / "trace"
        self._answer = directory / "answer.json"
        self.stage.take()
        outcome, self.calls = self._run()
        assert outcome == Outcome("", [])

    @property
    def committed(self) -> int:
        """Where among the calls the transaction is on disk: then the lock file says so."""
        return [index for index, call in enumerate(self.calls) if call.name == "pwrite64"][2]

    def refused(self, *refusals: str) -> Outcome:
        """The outcome with these refusals; the store is checked meanwhile and afterwards."""
        reader = DirectoryStore(self.stage.take(), tell=refuse)
        reader.read()
        outcome, _calls = self._run(*(f"inject={refusal}" for refusal in refusals))
        assert contents(reader.read()) == contents(DirectoryStore(reader.path).read()), "a reader sees something else"
        self.stage.well(reader.path)
        assert outcome.error.count("\n") == 0, outcome
        assert not outcome.error or (str(reader.path) in outcome.error and "(" in outcome.error), outcome
        return outcome

    def every(self) -> Iterator[tuple[int, str, str]]:
        """Index and description of each call that may be refused, and the refusal."""
        for index, call in enumerate(self.calls):
            for error in REFUSALS.get(call.name, ()):
                yield index, f"{call}: {error}", f"{call.name}:error={error}:when={call.turn}"

    def _run(self, *tampering: str) -> tuple[Outcome, list[strace.SystemCall]]:
        stage = self.stage
        what = (stage.path, stage.before, stage.after, self._answer)
        writer, calls = strace.traced(
            lambda *signs: Child(stage.errors(), act, stage.scene, *what, *signs), self._trace, *tampering
        )
        writer.done()
        return Outcome(**json.loads(self._answer.read_text())), calls


@each_of(FOUNDING, GOING_ON, NEWLY_FOLDED, GOING_ON_FOLDED)
def test_whatever_is_refused_the_transaction_is_made_or_fails_and_the_next_one_works(
    scene: Scene, memory: Path
) -> None:
    trial = Trial(scene, memory)
    broken = []
    for index, name, refusal in trial.every():
        try:
            outcome = trial.refused(refusal)
            if index >= trial.committed:
                assert not outcome.error, "the transaction was on disk, and was said to have failed"
            elif trial.calls[index].name in ("write", "pwrite64", "fdatasync", "fsync", "mkdir"):
                assert outcome.error, "it could not be written, and was said to be"
        except Exception as error:
            broken.append(f"{name}: {error}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", ["fsync", "rename", "write"])
def test_a_snapshot_that_cannot_be_written_is_told_and_fails_no_transaction(name: str, memory: Path) -> None:
    trial = Trial(GOING_ON_FOLDED, memory)
    call = next(call for call in trial.calls[trial.committed :] if call.name == name)
    outcome = trial.refused(f"{name}:error=ENOSPC:when={call.turn}")
    assert outcome.error == ""
    assert [news.partition(":")[0] for news in outcome.news] == [NOT_FOLDED]
    assert "No space left on device" in outcome.news[0]


def test_where_a_file_can_have_one_name_only_snapshots_are_written_as_well(memory: Path) -> None:
    trial = Trial(GOING_ON_FOLDED, memory)
    assert trial.refused("link:error=EOPNOTSUPP:when=1") == Outcome("", [])


def test_a_disk_that_takes_nothing_back_either_is_said_and_what_it_has_then_stays(memory: Path) -> None:
    trial = Trial(GOING_ON, memory)
    outcome = trial.refused("fdatasync:error=EIO:when=1", "ftruncate:error=EIO:when=1")
    assert "cannot be written (Input/output error) nor put back as it was (Input/output error)" in outcome.error


def act(
    scene: Scene, path: Path, before: Contents, after: Contents, answer: Path, ready: Semaphore, go: Semaphore
) -> None:
    """Make the transaction, then look what became of it, then make another one."""
    news: list[str] = []
    clerk = scene.clerk(path, tell=news.append)
    strace.started(ready, go)
    error = ""
    try:
        clerk.act()
    except StoreError as failure:
        error = str(failure)
    strace.over()
    answer.write_text(json.dumps({"error": error, "news": news}))
    expected = [before, after] if "nor put back" in error else [before if error else after]
    disk = DirectoryStore(path, tell=refuse)
    seen = contents(disk.read())
    assert seen in expected, f"the transaction {f'failed: {error}' if error else 'was made'}, and is not so on disk"
    assert contents(clerk.store.read()) == seen, f"the writer sees something else: {error}"
    for _turn in range(3):
        clerk.act()
    assert contents(disk.read()) == contents(clerk.store.read())
