# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was found in a file to the state: all of it in one transaction, or nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Literal

from ...model import InvalidInput
from ...store import KEYS, Draft, difference
from .consistency import refuse_contradictions
from .found import IDENTITY, KEPT, Document, Imported, Item, listed

Verdict = Literal["created", "updated", "unchanged", "kept"]


@dataclass(frozen=True)
class Report:
    """What an import did. ``counts``: table -> how many documents were ``created``, ``updated``, ``unchanged`` or
    ``kept`` (as the state has them, because it knows better). ``seen``: when nodes were last seen."""

    name: str
    counts: dict[str, dict[Verdict, int]]
    remarks: list[str]
    seen: dict[str, str]

    @property
    def changed(self) -> bool:
        """Whether the state is not as it was."""
        return any(counts.get("created", 0) + counts.get("updated", 0) for counts in self.counts.values())


def apply(draft: Draft, found: Imported, *, force: bool = False) -> Report:
    """Put what was found into the state; raises :class:`InvalidInput` where the state says other things by that name.

    The same file again changes nothing, whatever has become of its nodes and jobs since. With ``force`` a file may say
    other things than the state: what only imports have written is replaced, and what Muster has learnt itself stays.
    """
    work = _Work(draft, force=force and not found.whole)
    for item in found.items:
        work.put(item)
    if work.clashes:
        verb = "is" if len(work.clashes) == 1 else "are"
        raise InvalidInput(
            f"{found.name}: {listed(work.clashes)} {verb} in the state already, and not as this file says",
            "nothing was imported; an export goes into an empty store"
            if found.whole
            else "nothing was imported; --force keeps what Muster knows itself, and takes the rest",
        )
    if found.whole:
        refuse_contradictions(draft, found.name)
    report = Report(found.name, {table: {**counts} for table, counts in work.counts.items()}, found.remarks, {})
    if not report.changed:
        return Report(report.name, report.counts, [], {})
    found.remark(work.kept, "as Muster knows it, with what the file says kept beside it: {}")
    report.seen.update(found.seen)
    return report


class _Work:
    """One import as it goes."""

    def __init__(self, draft: Draft, *, force: bool) -> None:
        self.counts: dict[str, Counter[Verdict]] = defaultdict(Counter)
        self.clashes: list[str] = []
        self.kept: list[str] = []
        self._draft = draft
        self._force = force
        self._numbers: dict[str, dict[tuple[str, ...], int]] = {}

    def put(self, item: Item) -> None:
        """Put one thing where it belongs, unless the state has it, or something else by its name."""
        number = self._number(item.table, item.document, item.number)
        there = None if number is None else self._draft.document(item.table, number)
        if item.beside is not None:
            verdict = self._put_with(item, item.beside, number, there)
        elif there is None:
            verdict = self._write(item.table, self._free(item), item.document)
        elif not difference(there, item.document):
            verdict = "unchanged"
        elif item.table == "meta":
            verdict = self._meta(item.document)
        elif self._force and number is not None:
            verdict = self._write(item.table, number, item.document)
        else:
            verdict = "kept"
            self.clashes.append(_title(item.table, item.document, number))
        self.counts[item.table][verdict] += 1

    def _put_with(self, item: Item, beside: Document, number: int | None, there: Document | None) -> Verdict:
        """Put a node or a job, and beside it what the file says of it, by which it is known the next time."""
        draft, table = self._draft, item.table
        kept_at = self._number(KEPT, beside, None)
        known = kept_at is not None and not difference(draft.document(KEPT, kept_at), beside)
        if known and (there is not None or table == "jobs"):  # a job that is gone was archived
            self.counts[KEPT]["unchanged"] += 1
            return "unchanged"
        if there is not None and not self._force:
            self.clashes.append(_title(table, item.document, number))
            return "kept"
        # Both were written last by the same transaction: the import.
        untouched = (
            kept_at is not None and number is not None and draft.rev_of(table, number) == draft.rev_of(KEPT, kept_at)
        )
        if not known:
            self.counts[KEPT][self._write(KEPT, draft.next_number(KEPT) if kept_at is None else kept_at, beside)] += 1
        if there is None or number is None:
            return self._write(table, self._free(item), item.document)
        if table == "jobs" and untouched and not there.get("attempts"):
            return self._write(table, number, item.document)
        if table == "nodes" and _must_drain(there, item.document):
            return self._write(table, number, there | {"admin": item.document["admin"]})
        self.kept.append(_title(table, item.document, number))
        return "kept"

    def _write(self, table: str, number: int, document: Document) -> Verdict:
        there = self._draft.document(table, number) is not None
        self._draft.write(table, number, document)
        if identity := _identity(table, document):
            self._known(table)[identity] = number
        return "updated" if there else "created"

    def _meta(self, document: Document) -> Verdict:
        """What the state knows of itself stays, but for the last fencing token that was given: that only rises."""
        leap = document.get("epoch", 0) - self._draft.epoch
        if leap <= 0:
            return "kept"
        self._draft.next_epoch(leap)
        return "updated"

    def _number(self, table: str, document: Document, number: int | None) -> int | None:
        """The number of the document that goes by the same name; ``number`` where documents have no names."""
        if key := KEYS.get(table):
            return self._draft.number(table, document[key])
        identity = _identity(table, document)
        return self._known(table).get(identity) if identity else number

    def _known(self, table: str) -> dict[tuple[str, ...], int]:
        if table not in self._numbers:
            rows = [(_identity(table, row), number) for number, row in self._draft.items(table)]
            self._numbers[table] = {identity: number for identity, number in rows if identity}
        return self._numbers[table]

    def _free(self, item: Item) -> int:
        taken = item.number is None or self._draft.document(item.table, item.number) is not None
        return self._draft.next_number(item.table) if taken or item.number is None else item.number


def _identity(table: str, document: Document) -> tuple[str, ...] | None:
    """What names a document in a table that imports fill; None if nothing does."""
    fields: list[Any] = [document.get(field) for field in IDENTITY.get(table, ())]
    return tuple(fields) if fields and all(isinstance(field, str) for field in fields) else None


def _must_drain(there: Document, wanted: Document) -> bool:
    before, after = (document.get("admin", {}).get("state", "enabled") for document in (there, wanted))
    return bool(before == "enabled" != after)


def _title(table: str, document: Document, number: int | None) -> str:
    """``node gpu1``, ``virtual machine compute-01``, ``document 3 of notes``."""
    if table == KEPT:
        return f"what was imported of the {document['kind']} {document['name']}"
    key = KEYS.get(table) or IDENTITY.get(table, ("",))[-1]
    if key not in document:
        return f"document {number} of {table}"
    return f"{table.removesuffix('s').replace('_', ' ')} {document[key]}"
