# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the store's benchmark concludes from what it measured, and that its ways do the same work.

The measuring itself is `make bench-store`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.bench import store, store_ours, store_worker
from tests.bench.store_figures import (
    BEAT_EACH,
    COMPACTION,
    LOADED_LOOKUP,
    LONG_LOOKUP,
    LOOKUP,
    UPDATE,
    Figures,
    Key,
    Measure,
    Race,
    Timed,
    jain,
    quantile,
)
from tests.bench.store_fleet import fleet, meet, sicken
from tests.bench.store_ours import Ours, OursAsTinyDB
from tests.bench.store_peers import Append, SQLite, Stock
from tests.bench.store_report import races_table, table, verdicts
from tests.bench.store_writers import race
from tests.bench.timing import BenchError

FLEET = 3


def set_ms(figures: Figures, measure: Measure, way: str, *times_ms: float, nodes: int = 10_000) -> None:
    figures.timed[Key(measure.title, nodes, way)] = Timed([time_ms / 1000 for time_ms in times_ms])


@pytest.fixture
def figures() -> Figures:
    """Figures with which every target is met."""
    found = Figures()
    set_ms(found, UPDATE, "append + fsync", 0.1)
    set_ms(found, UPDATE, "ours", 0.25)
    set_ms(found, UPDATE, "ours", 0.2, nodes=1_000)
    set_ms(found, UPDATE, "SQLite", 0.3)
    set_ms(found, UPDATE, "stock TinyDB", 700)
    set_ms(found, LOOKUP, "ours", 0.5)
    set_ms(found, LOOKUP, "stock TinyDB", 700)
    set_ms(found, LONG_LOOKUP, "ours", 5)
    set_ms(found, LOADED_LOOKUP, "ours", 50)
    set_ms(found, LOADED_LOOKUP, "stock TinyDB", 700)
    found.races = {"ours": [fair(), fair()], "SQLite": [unfair()]}
    return found


def fair() -> Race:
    return Race(2.0, [[0.001, 0.002], [0.003, 0.004]])


def unfair() -> Race:
    return Race(2.0, [[0.001] * 99, [2.0]])


@pytest.fixture(autouse=True)
def short_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_ours, "COMPACT_BYTES", 4096)


def test_every_target_is_judged_and_can_be_met(figures: Figures) -> None:
    assert [met for met, _sentence in verdicts(figures)] == [True] * 8


@pytest.mark.parametrize(
    ("measure", "way", "time_ms", "missed"),
    [
        (UPDATE, "append + fsync", 0.08, "one durable update of one node: ours / append + fsync = 3.12"),
        (UPDATE, "SQLite", 0.15, "one durable update of one node: ours / SQLite = 1.67"),
        (UPDATE, "stock TinyDB", 250, "one durable update of one node: stock TinyDB / ours = 1,000"),
        (LOOKUP, "ours", 7.1, "open + look up one node: ours / stock TinyDB = 0.0101"),
        (LONG_LOOKUP, "ours", 35, "open + look up one node, longest journal: ours / stock TinyDB = 0.05"),
        (LOADED_LOOKUP, "ours", 90, "open + load all + look up one node by its address: ours / stock TinyDB = 0.129"),
    ],
)
def test_a_missed_target_is_said_with_its_numbers(
    figures: Figures, measure: Measure, way: str, time_ms: float, missed: str
) -> None:
    set_ms(figures, measure, way, time_ms)
    (sentence,) = [sentence for met, sentence in verdicts(figures) if not met]
    assert sentence.startswith(f"MISSED  10,000 nodes: {missed} (target: ")


def test_a_cost_that_grows_with_the_fleet_is_missed(figures: Figures) -> None:
    set_ms(figures, UPDATE, "ours", 0.1, nodes=1_000)
    (sentence,) = [sentence for met, sentence in verdicts(figures) if not met]
    assert "ours, 10,000 / 1,000 nodes = 2.5 (target: under 1.5; of the least times 2.5)" in sentence


def test_one_unfair_race_is_one_too_many(figures: Figures) -> None:
    figures.races["ours"].append(unfair())
    (sentence,) = [sentence for met, sentence in verdicts(figures) if not met]
    assert sentence == "MISSED  2 writers for 2 s: ours: Jain's index = 0.51 (target: over 0.9)"


def test_the_medians_decide_not_one_slow_time(figures: Figures) -> None:
    set_ms(figures, UPDATE, "ours", 0.25, 0.2, 90.0)
    assert all(met for met, _sentence in verdicts(figures))


def test_sizes_without_targets_are_not_judged(figures: Figures) -> None:
    figures.timed = {Key(UPDATE.title, 50, "ours"): Timed([9.0])}
    figures.races = {}
    assert verdicts(figures) == []


@pytest.mark.parametrize(("sqlite_ms", "code", "word"), [(0.3, 0, "met   "), (0.1, 1, "MISSED")])
def test_a_missed_target_is_the_exit_code(
    figures: Figures,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    sqlite_ms: float,
    code: int,
    word: str,
) -> None:
    set_ms(figures, UPDATE, "SQLite", sqlite_ms)
    monkeypatch.setattr(store, "measured", lambda *_asked: figures)
    monkeypatch.setattr(store, "race_all", lambda *_asked: None)
    monkeypatch.setattr(store, "plot", lambda *_asked: "")
    assert store.main(["--place", str(tmp_path)]) == code
    assert f"{word}  10,000 nodes: one durable update of one node: ours / SQLite" in capsys.readouterr().out


def test_the_benchmark_runs_without_matplotlib_and_says_so(
    figures: Figures, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert store.plot(figures, tmp_path / "growth.png").startswith("no plot: ")
    assert list(tmp_path.iterdir()) == []


def test_a_line_shows_median_least_and_the_multiple_of_the_floor(figures: Figures) -> None:
    set_ms(figures, UPDATE, "SQLite", 0.4, 0.3, 0.5)
    lines = table(figures)
    section = lines[lines.index("one durable update of one node") :]
    (line,) = [line for line in section if "SQLite" in line]
    assert line.split() == ["SQLite", "0.400", "0.300", "4.00"]


def test_where_there_is_no_floor_ours_is_the_base(figures: Figures) -> None:
    lines = table(figures)
    first, second = lines[lines.index("open + look up one node") + 1 :][:2]
    assert first.split() == ["ours", "0.500", "0.500", "1.00"]
    assert second.split() == ["stock", "TinyDB", "700", "700", "1,400"]


def test_what_was_reckoned_is_marked(figures: Figures) -> None:
    figures.timed[Key(BEAT_EACH.title, 10_000, "stock TinyDB")] = Timed([6740.0], reckoned_from=5)
    lines = table(figures)
    assert lines[lines.index(BEAT_EACH.title) + 1].split()[2] == "~6,740,000"
    assert lines[-1].startswith("~ reckoned from the first few nodes")


def test_compaction_is_shown_as_a_share_of_each_update(figures: Figures) -> None:
    set_ms(figures, COMPACTION, "ours", 200)
    figures.updates_a_compaction[10_000, "ours"] = 1000
    lines = table(figures)
    share = lines.index("compaction's share of one update, in the long run")
    assert lines[share + 1].split()[:2] == ["ours", "0.200"]


def test_a_race_shows_rate_fairness_and_latencies(figures: Figures) -> None:
    _heading, line, _second, other = races_table(figures)
    assert line.split() == ["ours", "2.00", "1.000", "3.00", "4.00", "4.00"]
    assert other.split() == ["SQLite", "50.0", "0.510", "1.00", "2,000", "2,000"]


def test_the_index_of_fairness_is_one_for_equals_and_one_nth_for_a_winner_who_takes_all() -> None:
    assert jain([7, 7, 7, 7]) == 1
    assert jain([12, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 0


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [quantile(values, share) for share in (0, 0.5, 0.99, 1)] == [1, 51, 100, 100]


def test_what_would_take_too_long_is_reckoned_from_the_first_few(monkeypatch: pytest.MonkeyPatch) -> None:
    beaten: list[int] = []
    assert store_worker.time_of_each_s(lambda number, _turn: beaten.append(number), 100, 0)[1] == 0
    assert beaten == list(range(100))
    beaten.clear()
    monkeypatch.setattr(store_worker, "LONG_S", 0.0)
    monkeypatch.setattr(store_worker, "TOO_LONG_S", 0.0)
    assert store_worker.time_of_each_s(lambda number, _turn: beaten.append(number), 100, 0)[1] == 5
    assert beaten == list(range(5))


@pytest.mark.parametrize("kind", [Ours, OursAsTinyDB, SQLite, Stock])
def test_all_ways_do_the_same_work(kind: type[Ours | SQLite | Stock], tmp_path: Path) -> None:
    way, expected = kind(tmp_path, FLEET), fleet(FLEET)
    way.fill(fleet(FLEET))
    assert [dict(document) for document in way.all_documents(0)] == expected
    for turn in range(FLEET):
        node = expected[way.picked(turn)]
        assert way.reopened_lookup(turn) == way.loaded_lookup(turn) == node
    way.settle(1)
    way.scan_text(0)
    way.scan_number(0)
    way.reopened_update(2)
    sicken(expected[way.picked(2)], 2)
    way.update(3)
    sicken(expected[way.picked(3)], 3)
    way.beat_all(4)
    way.beat(1, 5)
    for node in expected:
        meet(node, 4)
    meet(expected[1], 5)
    assert [way.lookup(number) for number in range(FLEET)] == expected


def test_the_floor_appends_what_our_journal_got(tmp_path: Path) -> None:
    floor = Append(tmp_path, FLEET)
    floor.fill(fleet(FLEET))
    floor.settle(1)
    floor.update(2)
    floor.beat(0, 3)
    floor.beat_all(4)
    update, beat, all_beats = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert [edit["path"] for edit in update["changes"][0]["edits"]] == [
        ["health", "state"],
        ["health", "reason"],
        ["health", "at"],
    ]
    assert [edit["path"] for edit in beat["changes"][0]["edits"]] == [["reachability", "at"]]
    assert len(all_beats["changes"]) == FLEET


def test_writers_race_and_what_one_was_told_is_kept_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ours(tmp_path, FLEET).fill(fleet(FLEET))
    done = race("ours", tmp_path, FLEET, 2, 0.2)
    assert all(done.latencies_s)
    monkeypatch.setattr(Ours, "lookup", lambda _self, number: fleet(FLEET)[number])
    with pytest.raises(BenchError, match="ours lost an update that it had acknowledged to writer 0"):
        race("ours", tmp_path, FLEET, 1, 0.1)
