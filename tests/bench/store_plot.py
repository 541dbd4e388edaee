# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The picture of how cost grows with the fleet."""

from __future__ import annotations

from pathlib import Path

from .store_figures import LONG_LOOKUP, LOOKUP, UPDATE, Figures, Key, Measure
from .store_ours import Ours, OursAsTinyDB
from .store_peers import Append, SQLite, Stock

LINES: dict[str, list[tuple[Measure, str]]] = {
    UPDATE.title: [(UPDATE, way.label) for way in (Stock, OursAsTinyDB, SQLite, Append, Ours)],
    LOOKUP.title: [
        *((LOOKUP, way.label) for way in (Stock, OursAsTinyDB)),
        (LONG_LOOKUP, Ours.label),
        *((LOOKUP, way.label) for way in (SQLite, Ours)),
    ],
}
"""Panel -> its lines, the last on top."""
STROKES = {
    Stock.label: ("#D55E00", "s", "-"),
    OursAsTinyDB.label: ("#56B4E9", "v", "-"),
    Ours.label: ("#0072B2", "o", "-"),
    SQLite.label: ("#009E73", "^", "-"),
    Append.label: ("#555555", "D", ":"),
}
"""Way -> colour (of Okabe and Ito's, which the colour-blind can tell apart), mark, stroke."""
BESIDE = "ours, longest journal"
TICKS = {0.1: "0.1 ms", 1: "1 ms", 10: "10 ms", 100: "100 ms", 1000: "1 s", 10_000: "10 s"}


def draw(figures: Figures, path: Path) -> None:
    """Write a PNG. Raises ImportError where there is no matplotlib."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(10, 5), layout="constrained")
    panels = picture.subplots(1, 2, sharey=True)
    legend = {}
    for panel, (title, lines) in zip(panels, LINES.items(), strict=True):
        for measure, way in lines:
            colour, mark, stroke = STROKES[way]
            beside = measure is LONG_LOOKUP
            sizes = [nodes for nodes in figures.sizes if Key(measure.title, nodes, way) in figures.timed]
            (line,) = panel.plot(
                sizes,
                [1000 * figures.of(measure, nodes, way).median_s for nodes in sizes],
                color=colour,
                marker=mark,
                markersize=9 if way == SQLite.label else 6,  # seen also where ours lies on it
                markerfacecolor="white" if beside else colour,
                linestyle="--" if beside else stroke,
                linewidth=2.5 if way == Ours.label and not beside else 1.5,
            )
            legend[BESIDE if beside else way] = line
        panel.set(xscale="log", yscale="log", title=title, xlabel="nodes of 8 GPUs")
        panel.grid(True, which="major", color="#e0e0e0")
        panel.minorticks_off()
        panel.set_xticks(figures.sizes, [f"{nodes:,}" for nodes in figures.sizes])
        panel.spines[["top", "right"]].set_visible(False)
    low, high = panels[0].get_ylim()
    ticks = {tick: label for tick, label in TICKS.items() if low / 2 < tick < high}
    panels[0].set_yticks([*ticks], [*ticks.values()])
    panels[0].set_ylabel("median time")
    picture.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=len(legend), frameon=False)
    picture.savefig(path, dpi=120)
