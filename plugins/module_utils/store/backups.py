# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups: whole states at one serial, each in a file of its own that checks itself, and back from one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ..model import Damaged, InvalidInput, NotFound, StoreError, counted
from .directory import LOCK_TIMEOUT_S, DirectoryStore
from .document import SCHEMA
from .files import OpenFile, content_of, make_directory, packing, replace_durably, said_of, sync_directory
from .loading import BACKUPS, named_backups, read_snapshot
from .lock import release, taken
from .migration import upgrade
from .snapshot import MARK, Snapshot
from .tables import Tables

KEEP = 10
"""How many backups stay unless the caller says otherwise."""
_SHORT = 8
"""How much of its lineage the name of a backup shows."""
_ELSEWHERE = "nothing was changed; name another directory for backups"


@dataclass(frozen=True)
class BackedUp:
    """What a backup came to. ``written``: False where nothing had changed since the newest, which is ``path`` then."""

    path: Path
    serial: int
    written: bool
    removed: list[Path]


@dataclass(frozen=True)
class Restored:
    """What a restore came to. ``undone``: how many transactions the state had gone on since; ``replaced``: where what
    it held is kept, if it held anything else; ``before`` (None: that could not be told) and ``after``: what it held and
    holds."""

    changed: bool
    serial: int
    undone: int
    replaced: Path | None
    before: Tables | None
    after: Tables


def back_up(
    store: DirectoryStore,
    *,
    to: Path | None = None,
    keep: int | None = KEEP,
    packed: bool = False,
    dry_run: bool = False,
) -> BackedUp:
    """Write the state as it is now below ``to`` (default: ``backups`` in the store).

    The newest ``keep`` of this cluster stay (None: all).

    The file is read again before an older one is removed. Raises :class:`StoreError`, and then none is removed.
    """
    if keep is not None and keep < 1:
        raise InvalidInput(f"keep is {keep}, and at least one backup must stay")
    directory = to or store.path / BACKUPS
    tables = store.read()
    if tables.serial == 0:
        raise NotFound(f"there is no state in {store} to back up", "run sync.yml first, or name the store")
    if dry_run:
        return _planned(directory, tables, keep, packed)
    with said_of(directory, "written", _ELSEWHERE):
        make_directory(directory)
        with _alone_in(directory):
            made = _planned(directory, tables, keep, packed)
            if made.written:
                for unfinished in directory.glob(".state-*.json*.new"):
                    unfinished.unlink(missing_ok=True)
                replace_durably(made.path, lambda file: _write(tables, file, packed))
                sync_directory(directory)
                check_snapshot(made.path)
                for old in made.removed:
                    old.unlink(missing_ok=True)
    return made


def backups(directory: Path, lineage: str = "") -> list[Path]:
    """The backups in a directory, the newest last; with ``lineage``, those of this cluster."""
    with said_of(directory, "read"):
        return [path for path in named_backups(directory) if _lineage_in(path).startswith(lineage[:_SHORT])]


def newest_backup(store: DirectoryStore) -> Path:
    """The newest good one in the store's own directory: of this cluster, as the highest serial may be another's."""
    directory = store.path / BACKUPS
    there = backups(directory, _lineage_of(store, directory))
    for path in reversed(there):
        if _is_good(path):
            return path
    if there:
        raise NotFound(f"no backup in {directory} is whole", "name a file somewhere else")
    others = backups(directory)
    newest = f"name the file; the newest of another cluster is {others[-1]}" if others else "name the file"
    raise NotFound(f"there is no backup of this cluster in {directory}", newest)


def _lineage_of(store: DirectoryStore, directory: Path) -> str:
    """That of the state; where nothing of it is left, that of the backups, if they are all of one cluster."""
    with contextlib.suppress(Damaged):
        tables = store.read()
        if tables.serial:
            return tables.lineage
    found = {_lineage_in(path) for path in backups(directory)}
    if len(found) > 1:
        raise NotFound(
            f"{directory} has backups of {len(found)} clusters, and no state says which is meant", "name one"
        )
    return found.pop() if found else ""


def restore(
    store: DirectoryStore, path: Path, *, who: str, origin: str = "", force: bool = False, dry_run: bool = False
) -> Restored:
    """Make the state what it was when this backup was taken.

    The state of another cluster, and a state that is older than the present one, are refused unless ``force``. The
    state that is replaced is backed up first. Nodes refuse whoever is older than what they have seen: the epoch leaps.
    """
    source = read_backup(path)
    undone, kept = 0, list[BackedUp]()
    before: Tables | None = None
    with contextlib.suppress(Damaged):
        before = store.read()

    def allowed(lineage: str | None, reached: int) -> None:
        nonlocal undone
        if lineage not in (None, source.lineage) and not force:
            raise InvalidInput(
                f"{path} is the state of another cluster: its lineage is {source.lineage}, that of {store} {lineage}",
                "look which of the two you want, and use force if it is this one",
            )
        undone = max(0, reached - source.serial)
        if undone and not force:
            raise InvalidInput(
                f"{path} is at serial {source.serial}, and {store} has reached serial {reached}: "
                f"{counted(undone, 'transaction')} would be undone",
                "see what they did with `muster state history`, and use force if that is what you want",
            )

    def keep() -> None:
        kept.append(back_up(store, keep=None))

    if dry_run:
        changed = store.rehearse_restore(source, allowed=allowed)
    else:
        said = {"who": who, "why": f"restore {path.name}, serial {source.serial}"}
        said |= {"origin": origin} if origin else {}
        changed = store.restore(source, said, allowed=allowed, keep=keep)
    replaced = kept[0].path if kept else None
    return Restored(changed, source.serial, undone if changed else 0, replaced, before, source)


def read_backup(path: Path) -> Tables:
    """The state in a backup, or in any snapshot; every byte of it is checked."""
    with said_of(path, "read", "nothing was changed; give the path of a backup"):
        try:
            return Tables(upgrade(read_snapshot(path.resolve())[1]))
        except Damaged as damage:
            if _has_mark(path):
                raise Damaged(damage.message, "it is no whole backup of a state: give another one") from None
            raise Damaged(
                f"{path} is damaged, or no backup of a state",
                "give a file that `muster state backup` wrote; `muster state import` reads others",
            ) from None


def check_snapshot(path: Path) -> None:
    """Read a backup or snapshot to its last byte; raises :class:`Damaged` if it is not as it was written."""
    file, state = read_snapshot(path)
    if state.schema == SCHEMA:
        Snapshot(file, str(path)).check_index()


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Let nobody else write backups there meanwhile. It is the directory that is locked: the store may be read-only."""
    file = OpenFile(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not taken(file, LOCK_TIMEOUT_S):
            why = f"{directory} is in use by another backup for over {LOCK_TIMEOUT_S:g} s"
            raise StoreError(why, "look at that one")
        yield
    finally:
        release(file)


def _write(tables: Tables, file: BinaryIO, packed: bool) -> None:
    if not packed:
        return tables.write_to(file)
    with packing(file) as target:
        tables.write_to(cast(BinaryIO, target))


def _planned(directory: Path, tables: Tables, keep: int | None, packed: bool) -> BackedUp:
    """What is to be done for a backup of this state."""
    there = backups(directory, tables.lineage)
    if there and _serial_of(there[-1]) == tables.serial and _is_good(there[-1]):
        return BackedUp(there[-1], tables.serial, False, [])
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"state-{tables.serial:020d}-{tables.lineage[:_SHORT]}-{stamp}.json{'.gz' if packed else ''}"
    older = [path for path in there if path.name != name]
    return BackedUp(directory / name, tables.serial, True, _too_many(older, keep - 1) if keep else [])


def _too_many(there: list[Path], keep: int) -> list[Path]:
    """Of these backups, those that are older than the newest ``keep`` that are good: a damaged one keeps nothing."""
    good = 0
    for number, path in reversed(list(enumerate(there, start=1))):
        if good == keep:
            return there[:number]
        good += _is_good(path)
    return []


def _has_mark(path: Path) -> bool:
    """Whether a file that is no whole snapshot looks like what is left of one."""
    try:
        return b'"%s"' % MARK.encode() in content_of(path)
    except Damaged:  # it is packed, and that is damaged
        return True


def _is_good(path: Path) -> bool:
    try:
        read_snapshot(path)
    except (StoreError, OSError):
        return False
    return True


def _lineage_in(path: Path) -> str:
    return path.name.split("-")[2]


def _serial_of(path: Path) -> int:
    return int(path.name.split("-")[1])
