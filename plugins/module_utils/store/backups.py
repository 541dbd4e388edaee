# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups: whole states at one serial, each in a file of its own that checks itself, and back from one."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ..model import Damaged, InvalidInput, NotFound
from .directory import DirectoryStore
from .files import make_directory, opened, replace_durably, said_of, sync_directory
from .loading import BACKUP_NAMES, BACKUPS, read_snapshot
from .migration import upgrade
from .snapshot import Snapshot
from .tables import Tables

KEEP = 10
"""How many backups stay unless the caller says otherwise."""


@dataclass(frozen=True)
class BackedUp:
    """What a backup came to. ``written``: False where nothing had changed since the newest, which is ``path`` then."""

    path: Path
    serial: int
    written: bool
    removed: list[Path]


def back_up(
    store: DirectoryStore,
    *,
    to: Path | None = None,
    keep: int = KEEP,
    packed: bool = False,
    dry_run: bool = False,
) -> BackedUp:
    """Write the state as it is now below ``to`` (default: ``backups`` in the store), and keep the newest ``keep``.

    The file is read again before an older one is removed. Raises :class:`StoreError`, and then none is removed.
    """
    if keep < 1:
        raise InvalidInput(f"keep is {keep}, and at least one backup must stay")
    directory = to or store.path / BACKUPS
    tables = store.read()
    if tables.serial == 0:
        raise NotFound(f"there is no state in {store} to back up", "run sync.yml first, or name the store")
    mine = f"{tables.lineage[:8]}"
    there = [path for path in backups(directory) if f"-{mine}-" in path.name]
    if there and _serial_of(there[-1]) == tables.serial and _is_good(there[-1]):
        return BackedUp(there[-1], tables.serial, False, [])
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = directory / f"state-{tables.serial:020d}-{mine}-{stamp}.json{'.gz' if packed else ''}"
    surplus = [*there, path][:-keep]
    if not dry_run:
        with said_of(path, "written"):
            make_directory(directory)
            replace_durably(path, _packing(tables) if packed else tables.write_to)
            sync_directory(directory)
            _check(path)
            for old in surplus:
                old.unlink(missing_ok=True)
    return BackedUp(path, tables.serial, True, surplus)


def backups(directory: Path) -> list[Path]:
    """The backups in a directory, the newest last."""
    return sorted(directory.glob(BACKUP_NAMES))


def restore(
    store: DirectoryStore, path: Path, *, who: str, force: bool = False, dry_run: bool = False
) -> tuple[bool, int]:
    """Make the state what it was when this backup was taken; whether that changes anything, and the backup's serial.

    The state of another cluster, and a state that is older than the present one, are refused unless ``force``. The
    state that is replaced is backed up first. Nodes refuse whoever is older than what they have seen: the epoch leaps.
    """
    source = read_backup(path)

    def allowed(lineage: str | None, reached: int, present: Tables | None) -> None:
        if lineage not in (None, source.lineage) and not force:
            raise InvalidInput(
                f"{path} is the state of another cluster: its lineage is {source.lineage}, that of {store} {lineage}",
                "look which one you want, and use force if it is this one",
            )
        if source.serial < reached and not force:
            raise InvalidInput(
                f"{path} is at serial {source.serial}, and {store} has reached serial {reached}: "
                f"{reached - source.serial} transactions would be undone",
                "see them with `muster state history`, and use force if that is what you want",
            )
        if present is not None and present.serial and not dry_run:
            back_up(store)

    if dry_run:
        return _rehearsed(store, source, allowed), source.serial
    changed = store.restore(source, who=who, why=f"restore {path.name}, serial {source.serial}", allowed=allowed)
    return changed, source.serial


def read_backup(path: Path) -> Tables:
    """The state in a backup, or in any snapshot; every byte of it is checked."""
    with said_of(path, "read"):
        return Tables(upgrade(read_snapshot(path)[1]))


def _rehearsed(
    store: DirectoryStore, source: Tables, allowed: Callable[[str | None, int, Tables | None], None]
) -> bool:
    try:
        with store.rehearsal() as draft:
            allowed(draft.lineage if draft.serial else None, draft.serial, draft)
            draft.become(source)
            return bool(draft.changes())
    except Damaged:
        allowed(None, 0, None)
        return True


def _packing(tables: Tables) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
            tables.write_to(cast(BinaryIO, packed))

    return write


def _check(path: Path) -> None:
    snapshot = Snapshot(opened(path), str(path))
    snapshot.check()
    snapshot.check_index()


def _is_good(path: Path) -> bool:
    try:
        _check(path)
    except (Damaged, OSError):
        return False
    return True


def _serial_of(path: Path) -> int:
    return int(path.name.split("-")[1])
