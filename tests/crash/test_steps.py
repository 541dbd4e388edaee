# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A writer dies before, in and after every step of a transaction, and of what it may bring with it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.crash.processes import Child
from tests.crash.scenes import SCENES, Scene, Stage, each_of
from tests.crash.steps import MOMENTS, Steps


@each_of(*SCENES)
def test_a_writer_that_dies_at_any_step_leaves_the_state_before_or_after(scene: Scene, memory: Path) -> None:
    stage = Stage(scene, memory)
    names = steps_of(stage, memory / "steps.json")
    assert scene.steps <= set(names), sorted(set(names))
    for number, name in enumerate(names, start=1):
        for moment in MOMENTS if "write in" in name else ("before", "after"):
            path = stage.take()
            Child(stage.errors(), act, scene, path, number, moment).died()
            try:
                stage.survived(path)
            except Exception as error:
                raise AssertionError(f"killed {moment} step {number}, {name}: {error}") from error


def steps_of(stage: Stage, answer: Path) -> list[str]:
    """The names of all steps, in order."""
    Child(stage.errors(), record, stage.scene, stage.take(), answer).done()
    names: list[str] = json.loads(answer.read_text())
    return names


def record(scene: Scene, path: Path, answer: Path) -> None:
    """Note the steps of the transaction."""
    clerk, steps = scene.clerk(path), Steps()
    clerk.act()
    answer.write_text(json.dumps(steps.names))


def act(scene: Scene, path: Path, step: int, moment: str) -> None:
    """Make the transaction as far as this step."""
    clerk, _steps = scene.clerk(path), Steps(step, moment)
    clerk.act()
