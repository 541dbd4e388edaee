# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded store: a directory on the control node."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..model import iso, utc_now
from .document import Raw, decoded, empty, encoded
from .files import exclusive, replace_durably, said_of
from .tables import Draft, Tables

LOCK_TIMEOUT_S = 60.0


class DirectoryStore:
    """State in ``state.json`` (TinyDB's own layout, mode 0600), liveness beside it in ``liveness.json``.

    A transaction holds one lock from its read to its write, and is on disk when it returns. Reads take no lock:
    they see the state before or after any transaction, never between.
    """

    def __init__(self, path: Path, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self.path = path
        self.lock_timeout_s = lock_timeout_s
        self.transactions = 0
        """How many transactions this object has committed: what tests and benchmarks count."""

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> Tables:
        """The state as it is now; an empty one where nobody has written yet."""
        return Tables(self._load())

    @contextlib.contextmanager
    def transaction(self, *, who: str, why: str) -> Iterator[Draft]:
        """Change the state wholly or, if the block raises, not at all. A block that changes nothing writes nothing."""
        self._make_directory()
        with exclusive(self.path / "lock", timeout_s=self.lock_timeout_s):
            draft = Draft(self._load())
            yield draft
            if draft.changed:
                content = encoded(draft.sealed(who=who, why=why, at=iso(utc_now())))
                with said_of(self.path / "state.json", "written"):
                    replace_durably(self.path / "state.json", content)
                self.transactions += 1

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[Draft]:
        """A transaction that is never written and locks nothing: what check mode decides on."""
        yield Draft(self._load())

    def contacts(self) -> dict[str, str]:
        """When each node was last seen (node name -> ISO 8601). Not a part of the state, and lost without harm."""
        try:
            seen = json.loads(_content(self.path / "liveness.json") or b"{}")
        except ValueError:
            return {}
        return {str(name): str(at) for name, at in seen.items()} if isinstance(seen, dict) else {}

    def contacted(self, seen: Mapping[str, str]) -> None:
        """Note that these nodes were seen; an older time never replaces a newer one."""
        self._make_directory()
        with exclusive(self.path / "liveness.lock", timeout_s=self.lock_timeout_s):
            known = self.contacts()
            merged = known | {name: max(at, known.get(name, "")) for name, at in seen.items()}
            if merged != known:
                with said_of(self.path / "liveness.json", "written"):
                    replace_durably(self.path / "liveness.json", json.dumps(merged, indent=1).encode())

    def _load(self) -> Raw:
        path = self.path / "state.json"
        text = _content(path)
        return empty() if text is None else decoded(text, str(path))

    def _make_directory(self) -> None:
        with said_of(self.path, "created"):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _content(path: Path) -> bytes | None:
    with said_of(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
