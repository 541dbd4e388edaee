# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where answers go: a terminal gets colours and fits its width, a pipe gets plain whole lines, a program gets JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from ..model import InvalidInput

WHOLE_LINES = 100_000
"""The width of a page that is not cut to fit anything."""


def to_terminal() -> bool:
    """Whether a person looks at what is written (or FORCE_COLOR says so)."""
    return Console().is_terminal


def terminal_width() -> int:
    """How many columns a person sees."""
    return Console().width


def show(*parts: RenderableType) -> None:
    """Write ``parts`` one below the other."""
    if to_terminal():
        console = Console(highlight=False)
        for part in parts:
            console.print(part)
        return
    console = Console(width=WHOLE_LINES, no_color=True, highlight=False, force_terminal=False)
    for part in parts:
        if isinstance(part, Table) and part.box is not None:
            part.box = None
            part.padding = (0, 2, 0, 0)
        with console.capture() as capture:
            console.print(part)
        typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def clear_screen() -> None:
    """Make room for the next page, where a person looks at it."""
    Console().clear()


def show_json(document: Any) -> None:
    """Write ``document`` for a program."""
    typer.echo(json.dumps(document, indent=2))


def write_json(path: Path, document: Any) -> None:
    """Write ``document`` into a file for its owner alone; one that is there is replaced."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="ascii") as file:
            file.write(json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}", "name another file") from error


def say(message: str) -> None:
    """Tell the caller in one sentence what went wrong, apart from the answer."""
    typer.echo(f"muster: {message}", err=True)


def never_fail_to_encode() -> None:
    """A terminal that cannot show a letter shows a question mark: no answer is worth a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
