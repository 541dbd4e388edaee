# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of the state, a transaction after the other."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ..store import Change, Record

_INDENT = 10
_LONGEST = 100
"""How many characters of a value are shown; JSON has the rest."""


def history_lines(records: Iterable[Record]) -> list[RenderableType]:
    """Of each transaction who made it, when and why, and below it what it changed."""
    lines: list[RenderableType] = []
    for record in records:
        at = record["at"][:19].replace("T", " ") + "Z"
        lines.append(
            Text.assemble(
                (f"{record['serial']:>6}", "bold"),
                f"  {at}  ",
                (record["who"], "cyan"),
                f"  {_plain(record['why'])}",
                (f" ({_plain(record['origin'])})" if record.get("origin") else "", "dim"),
            )
        )
        for change in [change for change in record["changes"] if change["table"] != "meta"]:
            lines += [Padding(Text(line), (0, 0, 0, _INDENT), expand=False) for line in _changed(change)]
    return lines


def _changed(change: Change) -> list[str]:
    first = change["edits"][0]
    what = f"{change['table']} {_plain(str(change.get('key', change['id'])))}"
    if change["table"] == "jobs" and first["path"] == []:
        what += f" ({_plain(str((first.get('to') or first['from']).get('name')))})"
    if first["path"] == []:
        return [f"{what} {'added' if 'to' in first else 'removed'}"]
    return [
        f"{what}: {'.'.join(map(str, edit['path']))} {_side(edit, 'from')} -> {_side(edit, 'to')}"
        for edit in change["edits"]
    ]


def _side(edit: dict[str, Any], side: str) -> str:
    if side not in edit:
        return "nothing"
    text = edit[side] if isinstance(edit[side], str) and edit[side] else json.dumps(edit[side])
    return _plain(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")


def _plain(text: str) -> str:
    """What a node or a person wrote, on one line that cannot steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
