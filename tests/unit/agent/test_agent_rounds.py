# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The monitor's rounds, without processes: when a signal comes is up to the test."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from muster.agent.health.daemon import Daemon, clearings
from muster.agent.layout import Layout


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    layout = Layout(str(tmp_path))
    for path in (layout.monitor, layout.health):
        Path(path).mkdir(parents=True)
    (tmp_path / "kmsg").touch()
    Path(layout.settings).write_text(json.dumps({"kernel_log": str(tmp_path / "kmsg")}))
    made = Daemon(layout)
    yield made
    for worker in made.workers.values():
        worker.close()


@pytest.mark.parametrize("during", ["_take_orders", "_take_kernel_log"])
def test_an_order_that_comes_while_a_round_begins_is_obeyed_by_the_next(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    step = getattr(daemon, during)

    def interrupted() -> object:
        done = step()
        Path(clearings(daemon.layout)).write_text("gpu.lost\n")
        daemon._signal(signal.SIGHUP, None)
        return done

    monkeypatch.setattr(daemon, during, interrupted)
    daemon._open_round(1.0)
    assert daemon.at_once, "the first round asks everybody"
    assert Path(clearings(daemon.layout)).exists()
    monkeypatch.undo()
    daemon._open_round(2.0)
    assert daemon.at_once
    assert not Path(clearings(daemon.layout)).exists(), "it is taken up"
    daemon._open_round(3.0)
    assert not daemon.at_once
