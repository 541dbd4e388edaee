# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the benchmarks of health measure is what they say. The measuring itself is `make bench-health`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from muster.store import DirectoryStore

from tests.bench import monitor, reports
from tests.unit.agent.node import until


def test_all_reports_are_entered_in_one_transaction_each_time(tmp_path: Path) -> None:
    entered, updated = reports.measured(tmp_path, nodes=40, rounds=2)
    assert len(entered) == len(updated) == 2
    assert min(entered + updated) > 0
    tables = DirectoryStore(tmp_path / "reports").read()
    assert tables.serial == 1 + 3, "the sync, and three rounds of which the first does not count"
    healths = [node["health"] for node in tables.all("nodes")]
    assert Counter(health["state"] for health in healths) == {"healthy": 38, "degraded": 2}
    assert {len(health["alerts"]) for health in healths if health["state"] == "degraded"} == {1}


@pytest.mark.parametrize(("ratio", "code"), [(1.9, 0), (2.1, 1)])
def test_entering_reports_has_to_be_fast_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ratio: float, code: int
) -> None:
    monkeypatch.setattr(reports, "measured", lambda *_: ([ratio], [1.0]))
    assert reports.main([]) == code
    assert f"{ratio:.2f} times the bare update" in capsys.readouterr().out


def test_the_monitor_is_measured_with_all_of_its_children(tmp_path: Path) -> None:
    (ours,) = monitor.measured(tmp_path, seconds=3, settles_s=4, peer=False)
    assert len(ours.rss_mib) >= 2
    assert min(ours.rss_mib) > min(ours.pss_mib) > 5
    assert ours.begun_s > 0, "its start has cost something"


def test_a_tree_is_a_process_and_all_that_descends_from_it() -> None:
    script = "sh -c 'while :; do :; done' & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        try:
            tree = monitor.Tree("a shell", parent.pid)
            assert tree.pids() == [parent.pid, child]
            tree.begin()
            until(lambda: tree.sample() or tree.used_s, "the child has had a tick of the processor")
            assert tree.rss_mib[-1] > monitor.memory_of(parent.pid)[0]
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(("used_s", "rss_mib", "code"), [(0.2, 39.0, 0), (0.4, 39.0, 1), (0.2, 41.0, 1)])
def test_the_monitor_has_to_be_cheap_enough(
    monkeypatch: pytest.MonkeyPatch, used_s: float, rss_mib: float, code: int
) -> None:
    ours = monitor.Tree("ours", 1, rss_mib=[rss_mib], pss_mib=[rss_mib], used_s=used_s)
    peer = monitor.Tree("peer", 1, rss_mib=[30.0], pss_mib=[30.0], used_s=0.1)
    monkeypatch.setattr(monitor, "measured", lambda *_: [ours, peer])
    assert monitor.main(["--minutes", "1"]) == code
