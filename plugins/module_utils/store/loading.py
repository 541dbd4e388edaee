# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the files to the state: the newest snapshot that is good, and every transaction after it.

What is not as it was written is never taken for right. What can be told from the rest is used, and what was lost is
said.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from ..model import Damaged, StoreError, counted
from .document import SCHEMA
from .files import OpenFile, Read, identity, opened, said_of
from .journal import End, Journal, Segment
from .migration import first_schema, upgrade
from .snapshot import Snapshot
from .state import State

STATE, BACKUP, BACKUPS, JOURNAL, DAMAGED, LOCK = (
    "state.json",
    "state.json.backup",
    "backups",
    "journal",
    "damaged",
    "lock",
)
"""The names in a store's directory."""

BACKUP_NAME = re.compile(r"state-([0-9]{20})-([^-]+)-[0-9]{8}T[0-9]{6}Z\.json(\.gz)?")
"""How backups are called: by serial and lineage. Other files beside them are somebody else's."""

CHECKED_AT_ONCE_BYTES = 1 << 22
"""A snapshot no larger is checked whole by readers as well (0.4 ms a MiB); of a larger one, what they read of it."""

_SERIAL = re.compile(rb'^\{"serial":([0-9]{1,18}),', re.MULTILINE)


@dataclass
class Loaded:
    """The state, and the files that it was read from."""

    state: State
    segment: Segment
    end: End
    base: OpenFile | None
    """``state.json``; None where there is none, or none that is good."""
    base_serial: int = 0
    base_bytes: int = 0
    troubles: list[str] = field(default_factory=list)
    """What is not as it was written, a sentence each."""
    damaged: list[Path] = field(default_factory=list)
    """The files that are to be kept aside."""
    checked: bool = False
    """Whether the snapshot was read whole, and is as it was written."""
    lost_to: int = 0
    """The serial of the last transaction that is known to be lost; those after the state's are."""

    @property
    def fresh(self) -> bool:
        """Whether nobody has ever written here."""
        return self.base is None and not self.troubles

    @property
    def lost(self) -> int:
        """How many acknowledged transactions are lost."""
        return max(0, self.lost_to - self.state.serial)


def load(place: Path, acknowledged: int, *, whole: bool = False) -> Loaded:
    """Read the state in the directory ``place``; ``acknowledged``: the serial that it has to reach.

    With ``whole``, the snapshot is checked to its last byte, however large it is.
    Raises :class:`Damaged` if there is nothing to begin with, :class:`StoreError` for what cannot be read at all.
    """
    journal = Journal(place / JOURNAL)
    troubles: list[str] = []
    damaged: list[Path] = []
    base, state, segment = _begin(place, journal, troubles, damaged, whole)
    serial = state.serial if state else 0
    if state is None or segment is None:
        if not troubles and not acknowledged:
            fresh = State(uuid.uuid4().hex, schema=SCHEMA)
            return Loaded(fresh, journal.segment(fresh), End.WHOLE, None)
        raise _nothing_left(place, troubles)
    with said_of(journal.path, "read"):
        segment, end = _follow(journal, segment, state)
    checked = whole or base is None or base.size <= CHECKED_AT_ONCE_BYTES
    size = base.size if base else 0
    loaded = Loaded(upgrade(state), segment, end, base, serial, size, troubles, damaged, checked)
    _judge(loaded, journal, acknowledged)
    return loaded


def read_snapshot(path: Path, *, whole: bool = True) -> tuple[Read, State]:
    """The state in one file, of whatever schema; raises :class:`Damaged`, and OSError for what cannot be read."""
    file = opened(path)
    try:
        snapshot = Snapshot(file, str(path))
        if whole or file.size <= CHECKED_AT_ONCE_BYTES:
            snapshot.check()
        return file, snapshot.state()
    except Damaged as damage:
        return file, first_schema(file(0, file.size), str(path), damage)


def named_backups(directory: Path) -> list[Path]:
    """The files in ``directory`` that are called like backups, the newest last."""
    return sorted(path for path in directory.glob("state-*.json*") if BACKUP_NAME.fullmatch(path.name))


def _begin(
    place: Path, journal: Journal, troubles: list[str], damaged: list[Path], whole: bool
) -> tuple[OpenFile | None, State | None, Segment | None]:
    """The newest good snapshot, and the segment with what comes after it."""
    for path in (place / STATE, place / BACKUP):
        found = _opened_state(path, troubles, damaged, whole)
        if found:
            file, state = found
            return file if path.name == STATE else None, state, journal.segment(state)
        if path.name == STATE and not troubles and identity(place / BACKUP) is None and not journal.segments():
            return None, None, None
        if path.name == STATE and not troubles:
            troubles.append(f"{path} is missing")
    there = named_backups(place / BACKUPS)
    for path in reversed(there):
        try:
            found = _opened_state(path, [], [], whole=True)
        except StoreError:
            continue
        segment = journal.holding(found[1].serial) if found else None
        if found and segment and segment.leads_through(found[1]):
            troubles.append(f"it is made again of {path} and the journal")
            return None, found[1], segment
    if there:
        troubles.append(f"no backup in {place / BACKUPS} can be used with the journal")
    segment = journal.holding(0)
    return None, State(segment.lineage, schema=SCHEMA) if segment else None, segment


def _opened_state(
    path: Path, troubles: list[str], damaged: list[Path], whole: bool
) -> tuple[OpenFile | None, State] | None:
    with said_of(path, "read"):
        try:
            file, state = read_snapshot(path, whole=whole)
        except FileNotFoundError:
            return None
        except Damaged as damage:
            troubles.append(damage.message)
            damaged.append(path)
            return None
    return file if isinstance(file, OpenFile) else None, state


def _follow(journal: Journal, segment: Segment, state: State) -> tuple[Segment, End]:
    """Apply segment after segment."""
    while True:
        end = segment.follow(state)
        if end is not End.WHOLE or state.serial == segment.after or not journal.has(state.serial):
            return segment, end
        segment = journal.segment(state)


def _judge(loaded: Loaded, journal: Journal, acknowledged: int) -> None:
    """Whether anything that was acknowledged is missing, and what."""
    state, segment = loaded.state, loaded.segment
    beyond = (
        [after for after in journal.segments() if after > state.serial]
        if loaded.end is not End.WHOLE or not loaded.base
        else []
    )
    rest = segment.rest() if loaded.end is not End.WHOLE else b""
    said = [int(serial) for serial in _SERIAL.findall(rest)] if loaded.end is End.DAMAGED or beyond else []
    if acknowledged:  # no more than one can have come after it: a larger number is damage as well
        said = [serial for serial in said if serial <= acknowledged + 1]
    loaded.lost_to = max([acknowledged, *beyond, *said], default=0)
    if loaded.end is End.DAMAGED or beyond:
        loaded.lost_to = max(loaded.lost_to, state.serial + 1)
    if loaded.lost:
        at = state.changed.get("at", "its beginning")
        what = f"serial {state.serial + 1} to {loaded.lost_to}" if loaded.lost > 1 else f"serial {loaded.lost_to}"
        loss = f"what was changed after {at} is lost, {counted(loaded.lost, 'transaction')} at most ({what})"
        what_of_it = "is damaged" if identity(segment.path) else "is missing"
        loaded.troubles.append(f"{segment.path} {what_of_it}: {loss}")
        if identity(segment.path):
            loaded.damaged.append(segment.path)
        loaded.damaged += [
            path for after, path in journal.segments().items() if after > segment.after and after > state.serial
        ]


def _nothing_left(place: Path, troubles: list[str]) -> StoreError:
    why = "; ".join(dict.fromkeys(troubles)) or "the files are gone"
    return Damaged(
        f"{place} holds no state that can be used: {why}",
        "nothing was changed; bring back a backup with `muster state restore --force`, or move the directory away and "
        "run sync.yml, which reads the nodes of the inventory anew",
    )
