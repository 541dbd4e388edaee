# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store seen from outside: what it holds, which bytes it has on disk, and other processes that use it."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from muster.store import DirectoryStore, Tables, verify
from muster.store.lock import witness

Document = dict[str, Any]

HOLD = """
import sys
from pathlib import Path
from muster.store import DirectoryStore
place, sys.argv = sys.argv[1], sys.argv[2:] or ["holder"]
with DirectoryStore(Path(place)).transaction(who="holder", why="wait") as draft:
    draft.put("nodes", {"name": "n2"})
    print("inside", flush=True)
    sys.stdin.readline()
"""
"""Begins a transaction in the store of the first argument, as if called with the others, and ends it when told to."""


def put(store: DirectoryStore, *documents: Document, table: str = "nodes") -> None:
    """Store these documents in one transaction."""
    with store.transaction(who="tester", why="test") as draft:
        for document in documents:
            draft.put(table, document)


def names(tables: DirectoryStore | Tables) -> list[str]:
    """The names of all nodes, in the order in which they came."""
    view = tables.read() if isinstance(tables, DirectoryStore) else tables
    return [row["name"] for row in view.all("nodes")]


def holding(tables: DirectoryStore | Tables) -> dict[str, dict[int, Document]]:
    """Everything that is in the state: table -> number -> document."""
    view = tables.read() if isinstance(tables, DirectoryStore) else tables
    return {name: dict(view.items(name)) for name in view.names() if view.count(name)}


def content(place: Path) -> dict[str, bytes]:
    """The bytes of every file of a store, by path within it, without the room that is left in the journal; of the lock
    what it bears witness of, not who held it."""
    found = {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}
    found |= {name: text.rstrip(b"\0") for name, text in found.items() if name.endswith(".jsonl")}
    return found | ({"lock": repr(witness(found["lock"])).encode()} if "lock" in found else {})


def sound(store: DirectoryStore) -> bool:
    """Whether every byte of it is as it was written; fails with what is not."""
    problems = verify(store.path).problems
    assert not problems, problems
    return True


@contextmanager
def running(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs ``script``; it is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a process forked from this one; its exit status as of ``subprocess`` (0: it returned)."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
