# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a store's files besides appending to the journal. Always under the lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from ..model import utc_now
from . import liveness
from .document import SCHEMA
from .draft import Draft
from .files import identity, keep_as, make_directory, replace_durably, said_of, sync_directory
from .journal import Journal, new_record
from .loading import BACKUP, DAMAGED, JOURNAL, STATE, Loaded
from .lock import Held
from .snapshot import write_snapshot


class Upkeep:
    """New snapshots, and damage put right: what was damaged is kept aside before anything takes its place."""

    def __init__(self, place: Path, journal: Journal, tell: Callable[[str], None]) -> None:
        self._place = place
        self._journal = journal
        self._tell = tell

    def rebase(self, loaded: Loaded) -> None:
        """Write the state as a new snapshot, on which the journal goes on. The one before stays as the backup."""
        path, backup = self._place / STATE, self._place / BACKUP
        good = loaded.base is not None
        with said_of(path, "written"):
            replace_durably(
                path,
                lambda file: write_snapshot(file, loaded.state),
                before=lambda: keep_as(path, backup) if good else None,
            )
            sync_directory(self._place)
        with contextlib.suppress(OSError):  # packing history can wait
            self._journal.retire(loaded.base_serial if good else 0)
        if loaded.state.schema < SCHEMA:
            liveness.forget_first_schema(self._place)

    def mend(self, loaded: Loaded, lock: Held, who: str) -> None:
        """Make the files what ``loaded`` could tell of them, in today's schema."""
        lost, bad_backup = loaded.lost, self._place / BACKUP in loaded.damaged
        with said_of(self._place / DAMAGED, "written"):
            self._keep_aside(loaded.damaged)
            if lost:
                self._write_down_the_loss(loaded, lock, who)
        if loaded.base is None or lost or loaded.state.schema < SCHEMA:  # whoever has it loaded sees a new one
            self.rebase(loaded)
        if bad_backup:
            with said_of(self._place / BACKUP, "written"):
                keep_as(self._place / STATE, self._place / BACKUP)

    def set_all_aside(self) -> None:
        """Take away what there is, where nothing of it can be used; but for ``state.json``, which shows that there was
        something until it is replaced."""
        with said_of(self._place / DAMAGED, "written"):
            aside = self._place / DAMAGED / _stamp()
            make_directory(aside)
            if identity(self._place / STATE):
                keep_as(self._place / STATE, aside / STATE)
            for path in (self._place / name for name in (BACKUP, JOURNAL)):
                if identity(path):
                    path.rename(aside / path.name)
            sync_directory(aside)
            sync_directory(self._place)
        self._tell(f"the damaged files are kept in {aside}")

    def _keep_aside(self, damaged: list[Path]) -> None:
        if not damaged:
            return
        make_directory(self._place / DAMAGED)
        for path in damaged:
            keep_as(path, self._place / DAMAGED / f"{_stamp()}-{path.name}")
        sync_directory(self._place / DAMAGED)
        self._tell(f"the damaged files are kept in {self._place / DAMAGED}")

    def _write_down_the_loss(self, loaded: Loaded, lock: Held, who: str) -> None:
        """Go on in the journal from the last transaction that is good, with one that says what was lost."""
        draft = Draft(loaded.state)
        draft.leap(lock.witness.epoch, draft.epoch + loaded.lost)
        why = f"recovered: {loaded.troubles[-1]}"
        record = new_record(loaded.lost_to + 1, {"who": who, "why": why}, draft.changes())
        record |= {"after": loaded.state.serial, "lost": loaded.lost}
        for after, path in self._journal.segments().items():
            if after > loaded.state.serial:
                path.unlink()
        loaded.segment.mend(record)
        lock.note(record["serial"], draft.epoch)
        loaded.state.apply(record, loaded.segment.chain)


def _stamp() -> str:
    moment = utc_now()
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond:06d}Z"
