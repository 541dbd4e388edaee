# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power fails after each call that a worker has made: every state that may be left is judged."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .disk import Disk, Tree
from .following import Follower
from .judge import Found, judge
from .recording import Call


@dataclass(frozen=True)
class Broken:
    """A state that is not as it must be."""

    after: str
    """The call after which the power failed."""
    acknowledged: int
    """Which transaction had been acknowledged."""
    why: str
    left: tuple[str, ...]
    """The files."""


Check = Callable[[Found, int], None]
"""Fails if a state is not as it must be, once the worker has acknowledged the transaction of this number."""


class Replay:
    """The calls of a worker whose store is in the directory ``root``. ``disk``: what was there before;
    ``acknowledged``: of which transaction the worker knew (-1: not even of the bank)."""

    def __init__(self, calls: list[Call], root: Path, disk: Disk, acknowledged: int = -1) -> None:
        self.judged = 0
        """How many states were judged, each once."""
        self._calls = calls
        self._disk = disk
        self._follower = Follower(disk, str(root))
        self._acknowledged = acknowledged

    def broken(self, scratch: Path, check: Check, *, mixtures: int) -> Iterator[Broken]:
        """Every state that is not as it must be. States are made in ``scratch``; ``mixtures``: after each call, how
        many are left to chance."""
        chance = random.Random(1)
        known: dict[Tree, Found | str] = {}
        for call in self._calls:
            if not self._happened(call):
                continue
            for tree in dict.fromkeys(self._disk.power_loss(chance, mixtures)):
                if tree not in known:
                    known[tree] = _judged(tree, scratch)
                    self.judged += 1
                if why := self._wrong(known[tree], check):
                    left = tuple(f"{name}: {len(tree.contents[number])} bytes" for name, number in tree.files)
                    yield Broken(f"{call.name} {call.texts[:1]}"[:200], self._acknowledged, why, left)

    def _happened(self, call: Call) -> bool:
        """Follow the call; whether there is anything new to judge."""
        if call.name == "write" and call.words[0] == "1":
            self._acknowledged = int(call.texts[0].split()[1])
            return True
        return self._follower.follow(call)

    def _wrong(self, found: Found | str, check: Check) -> str:
        if isinstance(found, str):
            return found
        try:
            check(found, self._acknowledged)
        except AssertionError as error:
            return str(error)
        return ""


def _judged(tree: Tree, scratch: Path) -> Found | str:
    tree.write_to(scratch)
    try:
        return judge(scratch / "store")
    except Exception as error:  # whatever it is: a store that cannot be used is what is looked for
        return f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(scratch)
