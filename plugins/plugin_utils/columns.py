# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables among the lines of a play."""

from __future__ import annotations

from collections.abc import Sequence

WIDEST = 60
"""Cells that are longer do not make their column wider."""


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row, the first of them the headings; a cell that is much too long for its column is out of line, and no
    other is."""
    widths = []
    for cells in zip(*rows, strict=True):
        lengths = [len(cell) for cell in cells]
        widths.append(max(length for length in lengths if length <= max(WIDEST, min(lengths))))
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
