# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the store's benchmark says: its tables, and whether each target is met."""

from __future__ import annotations

import operator
from collections.abc import Iterable

from .store_figures import (
    COMPACTION,
    LOADED_LOOKUP,
    LONG_LOOKUP,
    LOOKUP,
    MEASURES,
    MEMORY,
    UPDATE,
    Figures,
    Measure,
    Timed,
)
from .store_ours import Ours
from .store_peers import Append, SQLite, Stock
from .store_ways import WAYS

OURS, FLOOR, PEER, STOCK = Ours.label, Append.label, SQLite.label, Stock.label

JUDGED, SMALLER = 10_000, 1_000
"""At how many nodes the targets hold, and from which size on a cost must not grow."""
TARGETS: list[tuple[Measure, str, Measure, str, str, float]] = [
    (UPDATE, OURS, UPDATE, FLOOR, "at most", 3),
    (UPDATE, OURS, UPDATE, PEER, "at most", 1.5),
    (UPDATE, STOCK, UPDATE, OURS, "over", 1000),
    (LOOKUP, OURS, LOOKUP, STOCK, "at most", 1 / 100),
    (LONG_LOOKUP, OURS, LOOKUP, STOCK, "at most", 1 / 100),
    (LOADED_LOOKUP, OURS, LOADED_LOOKUP, STOCK, "at most", 1 / 8),
]
"""Measure and way, measure and way that it is divided by, and what the ratio must be."""
MOST_GROWTH = 1.5
LEAST_FAIRNESS = 0.9

_MEETS = {"at most": operator.le, "under": operator.lt, "over": operator.gt}
_LABEL = 26
_NOTHING = 0.01
"""Of so few milliseconds or MiB there are no multiples: they are as good as nothing."""

Cell = tuple[str, float, float | None]
"""A mark, the median and, where there was more than one, the least."""
Rows = dict[tuple[int, str], Cell]
"""By nodes and way."""


def table(figures: Figures) -> list[str]:
    """A way a line: at each size the median, the least, and the median as a multiple of the base's."""
    sizes = figures.sizes
    lines = [
        f"Milliseconds: median, least, and the median as a multiple of {FLOOR}'s, or else of ours.",
        " " * _LABEL + "".join(f"{f'{nodes:,} nodes':>28}" for nodes in sizes),
    ]
    for measure in MEASURES:
        base = _timed(figures, LOOKUP) if measure is LONG_LOOKUP else None
        lines += _section(measure.title, sizes, _timed(figures, measure), base)
        if measure is COMPACTION:
            lines += _section("compaction's share of one update, in the long run", sizes, _shares(figures))
    for title in MEMORY:
        lines += _section(f"peak memory in MiB: {title}", sizes, _memory(figures, title))
    if any(timed.reckoned_from for timed in figures.timed.values()):
        lines.append("~ reckoned from the first few nodes: to do it for all would take too long")
    return lines


def races_table(figures: Figures) -> list[str]:
    """What several writers at once did, a round a line."""
    lines = [f"{_writers(figures):<{_LABEL}}{'tx/s':>10}{'Jain':>8}{'p50 ms':>10}{'p99 ms':>10}{'most ms':>10}"]
    for way, races in figures.races.items():
        for race in races:
            latencies = "".join(f"{short(1000 * race.quantile_s(share)):>10}" for share in (0.5, 0.99, 1))
            lines.append(f"  {way:<{_LABEL - 2}}{short(race.rate):>10}{race.fairness:>8.3f}{latencies}")
    return lines


def verdicts(figures: Figures) -> list[tuple[bool, str]]:
    """Whether each target is met, and the sentence that says so; of sizes that have none nothing is said."""
    found = []
    if JUDGED in figures.sizes:
        for over, way, under, base, word, limit in TARGETS:
            pair = figures.of(over, JUDGED, way), figures.of(under, JUDGED, base)
            found.append(_ratio(f"{JUDGED:,} nodes: {over.title}: {way} / {base}", *pair, word, limit))
    if JUDGED in figures.sizes and SMALLER in figures.sizes:
        pair = figures.of(UPDATE, JUDGED, OURS), figures.of(UPDATE, SMALLER, OURS)
        found.append(_ratio(f"{UPDATE.title}: {OURS}, {JUDGED:,} / {SMALLER:,} nodes", *pair, "under", MOST_GROWTH))
    if OURS in figures.races:
        fairness = min(race.fairness for race in figures.races[OURS])
        found.append(_verdict(f"{_writers(figures)}: {OURS}: Jain's index", fairness, "over", LEAST_FAIRNESS))
    return found


def short(value: float) -> str:
    """Three digits, but no fewer than those before the point, and of small values three after it."""
    places = next((places for least, places in ((100, 0), (10, 1), (1, 2)) if value >= least), 3)
    return f"{value:,.{places}f}"


def _ratio(what: str, over: Timed, under: Timed, word: str, limit: float) -> tuple[bool, str]:
    """The medians decide. Where the least times say something else, the machine had other things to do."""
    least = f"; of the least times {_exactly(over.least_s / under.least_s)}"
    return _verdict(what, over.median_s / under.median_s, word, limit, least)


def _verdict(what: str, value: float, word: str, limit: float, also: str = "") -> tuple[bool, str]:
    met = _MEETS[word](value, limit)
    return met, f"{'met   ' if met else 'MISSED'}  {what} = {_exactly(value)} (target: {word} {limit:g}{also})"


def _exactly(ratio: float) -> str:
    """Three digits that count, so that it can be told from its limit."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def _section(title: str, sizes: Iterable[int], rows: Rows, base: Rows | None = None) -> list[str]:
    lines = [title] if rows else []
    for way in WAYS:
        if any(of == way for _nodes, of in rows):
            cells = (_cell(rows, nodes, way, base or rows) for nodes in sizes)
            lines.append(f"  {way:<{_LABEL - 2}}{''.join(cells)}".rstrip())
    return lines


def _cell(rows: Rows, nodes: int, way: str, bases: Rows) -> str:
    if (nodes, way) not in rows:
        return " " * 28
    mark, median, least = rows[nodes, way]
    base = bases.get((nodes, FLOOR)) or bases.get((nodes, OURS))
    ratio = short(median / base[1]) if base and base[1] > _NOTHING else ""
    return f"{mark + short(median):>11}{'' if least is None else short(least):>10}{ratio:>7}"


def _timed(figures: Figures, measure: Measure) -> Rows:
    return {
        (key.nodes, key.way): ("~" if timed.reckoned_from else "", 1000 * timed.median_s, 1000 * timed.least_s)
        for key, timed in figures.timed.items()
        if key.title == measure.title
    }


def _shares(figures: Figures) -> Rows:
    found: Rows = {}
    for (nodes, way), updates in figures.updates_a_compaction.items():
        timed = figures.of(COMPACTION, nodes, way)
        found[nodes, way] = ("", 1000 * timed.median_s / updates, 1000 * timed.least_s / updates)
    return found


def _memory(figures: Figures, title: str) -> Rows:
    return {(key.nodes, key.way): ("", mib, None) for key, mib in figures.memory_mib.items() if key.title == title}


def _writers(figures: Figures) -> str:
    race = next(iter(figures.races.values()))[0]
    return f"{len(race.latencies_s)} writers for {race.seconds:g} s"
