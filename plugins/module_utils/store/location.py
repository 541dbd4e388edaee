# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the state lives: from the store's URL to the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ..model import InvalidInput
from .directory import DirectoryStore
from .draft import Draft
from .state import Record
from .tables import Tables


class Store(Protocol):
    """What every kind of store does; see :class:`DirectoryStore` for the promises."""

    transactions: int

    def read(self) -> Tables: ...

    def transaction(self, *, who: str, why: str, origin: str = "") -> AbstractContextManager[Draft]: ...

    def rehearsal(self) -> AbstractContextManager[Draft]: ...

    def history(self, since: str) -> Iterator[Record]: ...

    def contacts(self, name: str | None = None) -> dict[str, str]: ...

    def contact_mark(self) -> int: ...

    def contacted(self, seen: Mapping[str, str]) -> None: ...

    def forget_contact(self, name: str) -> None: ...


def default_location() -> str:
    """``MUSTER_STORE``, else a directory of the user's (XDG base directory specification)."""
    state_home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return os.environ.get("MUSTER_STORE") or f"{state_home}/muster"


def open_store(location: str | None = None, *, tell: Callable[[str], None] | None = None) -> DirectoryStore:
    """The store at ``location`` (default: :func:`default_location`). Opening makes and changes nothing.

    ``tell``: who is told of damage (default: the log).
    """
    location = location or default_location()
    scheme, separator, _rest = location.partition("://")
    if separator and scheme != "file":
        raise InvalidInput(f"store {scheme}://... is not supported by this version", "give a directory")
    expanded = os.path.expanduser(location.removeprefix("file://"))
    if expanded.startswith("~"):
        raise InvalidInput(f"store {location}: there is no such home directory", "give the whole path")
    path = Path(expanded)
    if os.path.isfile(path):
        raise InvalidInput(f"store {path} is a file", "give the directory that it lies in")
    return DirectoryStore(path.absolute(), tell=tell)
