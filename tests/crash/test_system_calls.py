# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A writer dies at every system call of a transaction: also at those that Python makes for the store."""

from __future__ import annotations

import os
from multiprocessing.synchronize import Semaphore
from pathlib import Path

import pytest

from tests.crash import strace
from tests.crash.processes import Child
from tests.crash.scenes import GOING_ON_FOLDED, SCENES, Scene, Stage, each_of

pytestmark = pytest.mark.usefixtures("strace_there")


@each_of(*(scene for scene in SCENES if scene is not GOING_ON_FOLDED))  # who begins makes the same calls, and more
def test_a_writer_that_dies_at_any_system_call_leaves_the_state_before_or_after(scene: Scene, memory: Path) -> None:
    stage = Stage(scene, memory)

    def run(*tampering: str) -> tuple[Child, list[strace.SystemCall]]:
        path = stage.take()
        return strace.traced(
            lambda *signs: Child(stage.errors(), act, scene, path, *signs), memory / "trace", *tampering
        )

    writer, calls = run()
    writer.done()
    assert {"flock", "fdatasync", "pwrite64"} <= {call.name for call in calls}
    for call in calls:
        writer, _calls = run(f"inject={call.name}:signal=KILL:when={call.turn}")
        writer.died()
        try:
            stage.survived(stage.path)
        except Exception as error:
            raise AssertionError(f"killed at {call}: {error}") from error


def act(scene: Scene, path: Path, ready: Semaphore, go: Semaphore) -> None:
    """Make the transaction when it is watched, and nothing after it."""
    clerk = scene.clerk(path)
    strace.started(ready, go)
    clerk.act()
    os._exit(0)
