# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded store: a directory on the control node."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..model import Damaged, StoreError
from . import liveness
from .document import SCHEMA
from .draft import Draft, given_epoch
from .files import identity, said_of
from .history import transactions
from .journal import End, Journal, Standing, new_record
from .loading import JOURNAL, LOCK, STATE, Loaded, load
from .lock import Held, exclusive, witness_in
from .state import Record, State
from .tables import Tables
from .upkeep import Upkeep

LOCK_TIMEOUT_S = 60.0
COMPACT_BYTES = 1 << 18
"""A journal longer than this, and than a twenty-fourth of the snapshot, is folded into a new snapshot."""
COMPACT_SHARE = 24
CONFIRM_S = 1.0
"""How long a reader that sees damage waits for the lock, to see it again while nobody writes."""
RETRIES = 20
"""How often a reader begins again because others replaced the files under it."""

Allowed = Callable[["str | None", int], None]
"""Called with the present lineage (None: there is none that could be told) and the serial that was reached."""

_stores: weakref.WeakSet[DirectoryStore] = weakref.WeakSet()


class DirectoryStore:
    """State in ``state.json`` (the last snapshot, in TinyDB's own layout) and ``journal`` (the transactions since).

    A transaction holds one lock from its read to its write, and is on disk when it returns. Reads take no lock: they
    see the state before or after any transaction, never between. The object may be kept, and used by several threads:
    it reads only what was written since it was used last. ``tell`` (default: the log) hears what a person should:
    damage, and what was done about it.
    """

    def __init__(
        self,
        path: Path,
        *,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        compact_bytes: int = COMPACT_BYTES,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.path = path
        self.lock_timeout_s = lock_timeout_s
        self.compact_bytes = compact_bytes
        self.transactions = 0
        """How many transactions this object has committed: what tests and benchmarks count."""
        self._tell_person = tell or logging.getLogger("muster.store").warning
        self._told: set[str] = set()
        self._state, self._lock = path / STATE, path / LOCK
        self._journal = Journal(path / JOURNAL)
        self._upkeep = Upkeep(path, self._journal, self._tell)
        self._mutex = threading.RLock()
        self._loaded: Loaded | None = None
        self._handed_out = False
        _stores.add(self)

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> Tables:
        """The state as it is now; an empty one where nobody has written yet."""
        with self._mutex:
            return Tables(self._shared(self._current()))

    @contextlib.contextmanager
    def transaction(self, *, who: str, why: str, origin: str = "") -> Iterator[Draft]:
        """Change the state wholly or, if the block raises, not at all. A block that changes nothing writes nothing.

        ``origin``: through what ``who`` did it, such as the play.
        """
        with self._writing(who) as (loaded, lock):
            draft = Draft(loaded.state)
            yield draft
            self._commit(loaded, draft, lock, {"who": who, "why": why, **({"origin": origin} if origin else {})})

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[Draft]:
        """A transaction that is never written and locks nothing: what check mode decides on."""
        with self._mutex:
            draft = Draft(self._shared(self._current()))
        yield draft

    def history(self, since: str = "") -> Iterator[Record]:
        """The transactions on record, oldest first; with ``since`` (ISO 8601), not those before. Gaps are told."""
        return transactions(self.path, since, reached=self.read().serial, tell=self._tell)

    def contacts(self, name: str | None = None) -> dict[str, str]:
        """When each node (or the one of this name) was last seen: name -> ISO 8601. Not a part of the state, and lost
        without harm."""
        return liveness.contacts(self.path, name)

    def contact_mark(self) -> int:
        """Another number after each contact that was noted."""
        return liveness.mark(self.path)

    def contacted(self, seen: Mapping[str, str]) -> None:
        """Note that these nodes were seen; an older time never replaces a newer one."""
        liveness.contacted(self.path, seen)

    def forget_contact(self, name: str) -> None:
        """Forget when this was seen, if it ever was."""
        liveness.forget(self.path, name)

    def pending(self) -> bool:
        """Whether there are transactions that are not in the snapshot yet."""
        with self._mutex:
            loaded = self._current()
            return loaded.segment.length > 0 or bool(loaded.troubles)

    def compact(self, *, who: str) -> bool:
        """Fold the journal into a new snapshot now; whether there was anything to fold."""
        if not self.pending():
            return False
        with self._writing(who) as (loaded, _lock):
            full = loaded.segment.length > 0
            if full:
                self._rebase(loaded)
            return full

    def restore(self, source: Tables, said: Mapping[str, str], *, allowed: Allowed, keep: Callable[[], object]) -> bool:
        """Make the state hold what ``source`` holds, as one transaction after all that was; whether that changed it.

        ``said``: who restores, why, and through what. Whatever ``allowed`` raises stops it. ``keep`` is called before
        anything that can be used is replaced.
        """
        with exclusive(self._lock, timeout_s=self.lock_timeout_s) as lock:
            return self._restore(lock, source, said, allowed, keep)

    def rehearse_restore(self, source: Tables, *, allowed: Allowed) -> bool:
        """Whether :meth:`restore` would change anything; it refuses what that refuses, and writes nothing."""
        try:
            with self.rehearsal() as draft:
                allowed(draft.lineage if draft.serial else None, draft.serial)
                draft.become(source)
                return bool(draft.changes()) or bool(draft.serial and source.lineage != draft.lineage)
        except Damaged:
            allowed(None, witness_in(self._lock).serial)
            return True

    @contextlib.contextmanager
    def _writing(self, who: str) -> Iterator[tuple[Loaded, Held]]:
        """Hold the lock over a state that is whole, and up to date."""
        with exclusive(self._lock, timeout_s=self.lock_timeout_s) as lock:
            with self._mutex:
                loaded = self._settled(lock, who)
            yield loaded, lock

    def _current(self) -> Loaded:
        """The state as far as it is on disk, read without a lock."""
        loaded = self._up_to_date() or self._load()
        if loaded.troubles and identity(self._lock):
            # Another process may be in the middle of something: nobody is while we hold the lock.
            with contextlib.suppress(StoreError), exclusive(self._lock, timeout_s=CONFIRM_S):
                loaded = self._load()
        self._report(loaded)
        return loaded

    def _up_to_date(self) -> Loaded | None:
        """What was loaded before, with what was written since; None if it must be loaded anew."""
        loaded = self._loaded
        if loaded is None or loaded.base is None or loaded.troubles:
            return None
        with said_of(self.path, "read"):
            if identity(self._state) != loaded.base.identity:
                return None
            standing = loaded.segment.standing()
            if standing is Standing.REPLACED:
                return None
            if standing is Standing.GROWN:
                if self._handed_out:
                    loaded.state, self._handed_out = loaded.state.copy(), False
                self._loaded = None  # until all of it is followed: an error, or Ctrl-C, may leave a half
                loaded.end = loaded.segment.follow(loaded.state)
                self._loaded = loaded
        return None if loaded.end is End.DAMAGED else loaded

    def _load(self, *, whole: bool = False) -> Loaded:
        with said_of(self.path, "read"):
            for _time in range(RETRIES):
                before = identity(self._state)
                loaded = load(self.path, witness_in(self._lock).serial, whole=whole)
                if identity(self._state) == (loaded.base.identity if loaded.base else before):
                    break
        self._loaded, self._handed_out = loaded, False
        return loaded

    def _settled(self, lock: Held, who: str) -> Loaded:
        """The state under the lock: a torn end is cut, damage is mended, an earlier schema is brought forward."""
        loaded = self._up_to_date()
        if (
            loaded is None
            or loaded.end is not End.WHOLE
            or loaded.state.serial < lock.witness.serial
            or not loaded.checked
        ):
            loaded = self._load(whole=True)
        self._report(loaded)
        if loaded.end is End.TORN and not loaded.lost:
            loaded.segment.cut()
            loaded.end = End.WHOLE
        if loaded.troubles or loaded.state.schema < SCHEMA:
            self._upkeep.mend(loaded, lock, who)
            loaded = self._load(whole=True)
        return self._rebase(loaded) if loaded.segment.packed else loaded

    def _commit(self, loaded: Loaded, draft: Draft, lock: Held, said: Mapping[str, str]) -> None:
        changes = draft.changes()
        if not changes:
            return
        record = new_record(loaded.state.serial + 1, said, changes)
        with self._mutex:
            if loaded.fresh:
                loaded = self._rebase(loaded)
            self._write(loaded, lock, record)
            if self._journal_is_long(loaded):
                self._fold(loaded)

    def _restore(
        self, lock: Held, source: Tables, said: Mapping[str, str], allowed: Allowed, keep: Callable[[], object]
    ) -> bool:
        with self._mutex:
            try:
                loaded = self._settled(lock, said["who"])
            except Damaged as damage:
                self._tell(damage.message)
                allowed(None, lock.witness.serial)
                self._upkeep.set_all_aside()
                return self._restore_over_ruins(lock, source, said)
            allowed(None if loaded.fresh else loaded.state.lineage, loaded.state.serial)
            if loaded.fresh:  # an empty state of that cluster, and then as anywhere
                loaded.state.lineage = source.lineage
                loaded = self._rebase(loaded)
            draft = Draft(loaded.state)
            draft.become(source)
            if not draft.changes() and source.lineage == loaded.state.lineage:
                return False
            if loaded.state.serial:
                keep()
            self._write(loaded, lock, _restoring(lock, draft, source, said))
            self._fold(loaded)
            return True

    def _restore_over_ruins(self, lock: Held, source: Tables, said: Mapping[str, str]) -> bool:
        """Restore where nothing can be used: all of it is there when the snapshot is, before it nothing."""
        state = State(source.lineage, serial=lock.witness.serial, schema=SCHEMA)
        with said_of(self._journal.path, "read"):
            segment = self._journal.segment(state)
        draft = Draft(state)
        draft.become(source)
        record = _restoring(lock, draft, source, said)
        ruin = identity(self._state)
        try:
            state.apply(record, segment.append(record))
            self._upkeep.rebase(Loaded(state, segment, End.WHOLE, None))
        except StoreError as error:
            if identity(self._state) != ruin:
                why = "the backup is in place; whether it stays there shows when the disk is well again"
                raise StoreError(error.message, why) from error
            segment.path.unlink(missing_ok=True)
            raise
        finally:
            self._loaded = None
        self._acknowledge(lock, record)
        return True

    def _write(self, loaded: Loaded, lock: Held, record: Record) -> None:
        """Put one transaction on disk, acknowledge it, and follow it."""
        followed, self._loaded = self._loaded, None  # an error, or Ctrl-C, may leave a half: then all is read again
        chain = loaded.segment.append(record)
        if self._handed_out:
            loaded.state, self._handed_out = loaded.state.copy(), False
        loaded.state.apply(record, chain)
        self._loaded = followed
        self._acknowledge(lock, record)

    def _acknowledge(self, lock: Held, record: Record) -> None:
        with contextlib.suppress(OSError):  # it is on disk: a witness that lags is no reason to say otherwise
            lock.note(record["serial"], given_epoch(record))
        self.transactions += 1

    def _rebase(self, loaded: Loaded) -> Loaded:
        """Write the state as a new snapshot, and go on from that."""
        self._upkeep.rebase(loaded)
        loaded = self._load()
        loaded.checked = True
        return loaded

    def _fold(self, loaded: Loaded) -> None:
        """The same after a transaction, which is on disk whatever becomes of this: the journal can grow."""
        try:
            self._rebase(loaded)
        except StoreError as error:
            self._tell(f"the journal could not be folded into a new snapshot: {error.message}")

    def _journal_is_long(self, loaded: Loaded) -> bool:
        return loaded.segment.length > max(self.compact_bytes, loaded.base_bytes // COMPACT_SHARE)

    def _begin_in_child(self) -> None:
        """After a fork: a thread that was inside here is not in this process, and nobody will finish what it did."""
        if self._mutex.acquire(blocking=False):
            self._mutex.release()
        else:
            self._mutex, self._loaded = threading.RLock(), None

    def _shared(self, loaded: Loaded) -> State:
        self._handed_out = True
        return loaded.state

    def _report(self, loaded: Loaded) -> None:
        """Say what was found to be damaged, and what comes of it."""
        if not loaded.troubles:
            return
        if loaded.lost:
            advice = "sync.yml and then recover.yml ask the nodes what is true"
        else:
            advice = "nothing was lost, and the next change mends it"
        self._tell("; ".join([*loaded.troubles, advice]))

    def _tell(self, notice: str) -> None:
        """Say it once."""
        if notice not in self._told:
            self._told.add(notice)
            self._tell_person(notice)


def _restoring(lock: Held, draft: Draft, source: Tables, said: Mapping[str, str]) -> Record:
    """The transaction that makes the state what ``source`` is. Any epoch may have been given since that was written."""
    draft.leap(source.epoch, lock.witness.epoch)
    record = new_record(max(draft.serial, source.serial) + 1, said, draft.changes())
    return record | {"after": draft.serial, "lineage": source.lineage}


def _after_fork() -> None:
    for store in list(_stores):
        store._begin_in_child()


os.register_at_fork(after_in_child=_after_fork)
