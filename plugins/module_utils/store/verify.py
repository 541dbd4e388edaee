# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading everything that a store has on disk, and saying what is not as it was written."""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ..model import StoreError
from . import liveness
from .backups import backups, check_snapshot
from .document import SCHEMA
from .files import identity, said_of
from .journal import PACKED, End, Journal, first_line, read_segment
from .loading import BACKUP, BACKUPS, DAMAGED, JOURNAL, LOCK, STATE, load
from .lock import exclusive, is_blank, witness, witness_in

WAIT_S = 10.0


@dataclass
class Verified:
    """What was read, and what is wrong. ``notes`` are harmless: they need nobody."""

    serial: int = 0
    lineage: str = ""
    snapshots: int = 0
    segments: int = 0
    transactions: int = 0
    backups: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(place: Path) -> Verified:
    """Check the store in the directory ``place`` to its last byte. Changes nothing; writers wait meanwhile."""
    found = Verified()
    with said_of(place, "read"), contextlib.ExitStack() as stack:
        if identity(place / LOCK):
            try:
                stack.enter_context(exclusive(place / LOCK, timeout_s=WAIT_S))
            except StoreError as error:
                found.notes.append(f"checked without the lock: {error.message}")
        if _check_state(place, found):
            _check_backups(place, found)
            _check_modes(place, found)
    return found


def _check_state(place: Path, found: Verified) -> bool:
    """Whether there is a store at all."""
    good = {name: identity(place / name) is not None and _is_good(place / name, found) for name in (STATE, BACKUP)}
    found.snapshots = sum(good.values())
    _check_witness(place / LOCK, found)
    try:
        loaded = load(place, witness_in(place / LOCK).serial, whole=True)
    except StoreError as error:
        found.problems.append(str(error))
        return True
    if loaded.fresh:
        found.problems.append(f"{place} holds no state: run sync.yml, or name the store")
        return False
    found.serial, found.lineage = loaded.state.serial, loaded.state.lineage
    found.problems += [trouble for trouble in loaded.troubles if trouble not in found.problems]
    if loaded.lost:
        found.notes.append("the next change writes down what was lost; then run sync.yml and recover.yml")
    elif loaded.troubles:
        found.notes.append("nothing was lost, and the next change mends it")
    if loaded.base and not good[BACKUP] and identity(place / BACKUP):
        found.notes.append(f"{place / BACKUP} is made anew when the journal is folded next, and nothing was lost")
    if loaded.end is End.TORN and not loaded.lost:
        found.notes.append(f"{loaded.segment.path} ends {End.TORN.value}: the next writer cuts it")
    if loaded.state.schema == SCHEMA:
        _check_journal(Journal(place / JOURNAL), found)
    return True


def _check_witness(lock: Path, found: Verified) -> None:
    text = lock.read_bytes() if identity(lock) else b""
    if not witness(text).serial and not is_blank(text) and not text.startswith(b"{"):  # as schema 1 had it
        found.notes.append(f"{lock} does not say any more what was acknowledged: the next change mends it")


def _is_good(path: Path, found: Verified) -> bool:
    try:
        with said_of(path, "read"):
            check_snapshot(path)
    except StoreError as error:
        found.problems.append(error.message)
        return False
    return True


def _check_journal(journal: Journal, found: Verified) -> None:
    """Each segment is whole, and goes on where the one before ends; the last reaches as far as the state."""
    segments, sound = journal.segments(), len(found.problems)
    reached, chain = None, 0
    for turn, (after, path) in enumerate(segments.items(), start=1):
        found.segments += 1
        first = first_line(path)
        lines, end = read_segment(path)
        last = turn == len(segments)
        if first is None or first["after"] != after or not lines:
            if not (last and b"\n" not in path.read_bytes()):
                found.problems.append(f"{path} is damaged: its first line is not whole")
                reached = None
            continue
        if reached is not None and (after, int(first["chain"], 16)) != (reached, chain):
            found.problems.append(f"{path} does not go on where the one before ends, at serial {reached}")
        if end is End.DAMAGED or (end is End.TORN and not last):
            found.problems.append(f"{path} is damaged after serial {lines[-1].document.get('serial', after)}")
        reached = after
        for line in lines[1:]:
            record = line.document
            if record["serial"] != reached + 1 and record.get("after") != reached:
                found.problems.append(f"{path} leaps from serial {reached} to {record['serial']}")
            reached = record["serial"]
            found.transactions += 1
        chain = lines[-1].chain
    if segments and (reached or 0) < found.serial:
        told = "nothing" if reached is None else f"serial {reached}"
        path = list(segments.values())[-1]
        found.problems.append(
            f"{path} ends after {told}, and the state is at serial {found.serial}: history is missing"
        )
    if len(found.problems) > sound and any(path.name.endswith(PACKED) for path in segments.values()):
        found.notes.append("packed files are history, and nothing else: a damaged one can go, and those before it")


def _check_backups(place: Path, found: Verified) -> None:
    for path in backups(place / BACKUPS):
        if path.is_symlink() or identity(path):  # else it was rotated away meanwhile
            found.backups += _is_good(path, found)


def _check_modes(place: Path, found: Verified) -> None:
    """Of the store's own files: whatever else lies there is somebody else's to judge."""
    own = [place / name for name in (STATE, BACKUP, LOCK)]
    own += [*Journal(place / JOURNAL).segments().values(), *backups(place / BACKUPS)]
    own += [*(place / liveness.DIRECTORY).glob("*"), *(place / DAMAGED).rglob("*")]
    readable = [path for path in own if _is_open_to_others(path)]
    if len(readable) == 1:
        found.problems.append(f"{readable[0]} can be read by others: chmod go= {readable[0]}")
    elif readable:
        found.problems.append(f"{len(readable)} files of {place} can be read by others: chmod -R go= {place}")


def _is_open_to_others(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) and bool(stat.S_IMODE(mode) & 0o077)
