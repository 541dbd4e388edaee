# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change costs what it changes, and reading one document costs that document: bytes are counted, nothing is timed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from muster.store import Database, DirectoryStore
from tinydb import Query

from tests.needs import needs
from tests.unit.store.disk import Document

SMALL, LARGE = 100, 10_000
IO = Path("/proc/self/io")
counted_by_the_kernel = needs(IO.exists(), "the kernel does not count what a process writes")


def node(number: int) -> Document:
    """A node with 8 GPUs, in the size of those that sync.yml finds."""
    return {
        "name": f"gpu-{number:05d}",
        "address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
        "slots": 96,
        "labels": {"rack": f"r{number // 40}", "room": "b2"},
        "gpus": [
            {
                "index": index,
                "uuid": f"GPU-{number:08x}-{index:04x}-4c1d-9f9a-0123456789ab",
                "model": "NVIDIA H100 80GB HBM3",
                "memory_mib": 81559,
            }
            for index in range(8)
        ],
        "health": {"state": "OK", "reason": None, "since": "2026-11-23T12:00:00.000000Z"},
        "reachability": {"ok": True, "reason": None, "at": "2026-11-23T12:00:00.000000Z"},
    }


@pytest.fixture(scope="module", params=[SMALL, LARGE])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with so many nodes, all of them in the snapshot."""
    found = tmp_path_factory.mktemp(f"nodes{request.param}") / "store"
    with DirectoryStore(found).transaction(who="tester", why="fill") as draft:
        for number in range(request.param):
            draft.put("nodes", node(number))
    DirectoryStore(found).compact(who="tester")
    return found


@dataclass
class Counted:
    """How many bytes were read and written, and how often something was flushed."""

    read: int = 0
    written: int = 0
    flushed: int = 0


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Counts from now on, in this process."""
    found = Counted()

    def measured(field: str, real: Callable[..., Any], length: Callable[[Any], int]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            done = real(*arguments)
            setattr(found, field, getattr(found, field) + length(done))
            return done

        return call

    for name in ("pread", "read"):
        monkeypatch.setattr(os, name, measured("read", getattr(os, name), len))
    for name in ("pwrite", "write"):
        monkeypatch.setattr(os, name, measured("written", getattr(os, name), int))
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, measured("flushed", getattr(os, name), lambda _none: 1))
    yield found


def journal_bytes(place: Path) -> int:
    """How much was written; the room after it was made beforehand."""
    return sum(len(path.read_bytes().rstrip(b"\0")) for path in (place / "journal").glob("*.jsonl"))


def handed_to_the_kernel() -> int:
    """Bytes that this process has written, to whatever file and in whatever way."""
    return int(next(line for line in IO.read_text().splitlines() if line.startswith("wchar:")).split()[1])


def drain(store: DirectoryStore, number: int, reason: str) -> None:
    with store.transaction(who="ansible:ann@desk", why="drain a node") as draft:
        row = draft.get("nodes", f"gpu-{number:05d}")
        assert row is not None
        row["health"] = {"state": "DRAINED", "reason": reason, "since": "2026-11-23T13:00:00.000000Z"}
        draft.put("nodes", row)


@counted_by_the_kernel
def test_one_update_writes_less_than_a_kibibyte_and_flushes_once_however_large_the_cluster(
    place: Path, counted: Counted
) -> None:
    store = DirectoryStore(place)
    drain(store, 17, "the segment is made with the first transaction after a snapshot")
    before, kernel, counted.written, counted.flushed = journal_bytes(place), handed_to_the_kernel(), 0, 0
    drain(store, 42, "fan broken")
    kernel = handed_to_the_kernel() - kernel
    grown = journal_bytes(place) - before
    assert 100 < grown < 400
    assert grown <= counted.written == kernel < 1024, "the line, and who holds the lock"
    assert counted.flushed == 1
    assert DirectoryStore(place).read().get("nodes", "gpu-00042")["health"]["state"] == "DRAINED"  # type: ignore[index]


@counted_by_the_kernel
def test_so_does_one_update_through_tinydbs_own_calls(place: Path, counted: Counted) -> None:
    table = Database(place).table("nodes")
    table.update({"slots": 95}, Query().name == "gpu-00001")
    kernel, counted.flushed = handed_to_the_kernel(), 0
    assert table.update({"slots": 94}, Query().name == "gpu-00042") == [43]
    assert handed_to_the_kernel() - kernel < 1024
    assert counted.flushed == 1


def test_the_bytes_of_an_update_do_not_grow_with_the_cluster(tmp_path: Path) -> None:
    sizes = []
    for count in (1, 1000):
        store = DirectoryStore(tmp_path / str(count))
        with store.transaction(who="tester", why="fill") as draft:
            for number in range(count):
                draft.put("nodes", node(number))
        store.compact(who="tester")
        drain(store, 0, "first")
        before = journal_bytes(store.path)
        drain(store, 0, "second")
        sizes.append(journal_bytes(store.path) - before)
    assert sizes[0] == sizes[1]


def test_a_bulk_update_is_one_line_and_one_flush(place: Path, counted: Counted) -> None:
    store = DirectoryStore(place, compact_bytes=1 << 30)
    drain(store, 18, "first")
    before, serial, counted.flushed = journal_bytes(place), store.read().serial, 0
    with store.transaction(who="tester", why="all at once") as draft:
        rows = draft.all("nodes")
        for row in rows:
            draft.put("nodes", row | {"slots": row["slots"] + 1})
    assert (counted.flushed, store.read().serial) == (1, serial + 1)
    assert journal_bytes(place) - before < 150 * len(rows), "and of each document only what has changed"
    assert store.compact(who="tester")


def test_one_document_of_ten_thousand_is_read_without_the_rest(place: Path, counted: Counted) -> None:
    size = (place / "state.json").stat().st_size
    DirectoryStore(place).compact(who="tester")
    counted.read = 0
    assert DirectoryStore(place).read().get("nodes", "gpu-00077") is not None
    if size > 4 << 20:
        assert counted.read < size / 15, "the end of the file, the index of one table, and the document"
    reader = DirectoryStore(place)
    reader.read()
    counted.read = 0
    for number in (3, 50, 99):
        assert reader.read().get("nodes", f"gpu-{number:05d}") is not None
        assert reader.read().get("nodes", f"absent-{number}") is None
    index_at_most = size / 15 if size > 4 << 20 else size
    assert counted.read < index_at_most
    counted.read = 0
    assert reader.read().get("nodes", "gpu-00099") is not None
    assert counted.read < 4096, "the index is read once"


def test_who_reads_again_reads_only_what_was_written_since(place: Path, counted: Counted) -> None:
    reader, writer = DirectoryStore(place), DirectoryStore(place)
    drain(writer, 5, "before")
    assert reader.read().count("nodes") in (SMALL, LARGE)
    counted.read = 0
    reader.read()
    assert counted.read < 64, "a look at whether its end is still there"
    drain(writer, 6, "after")
    counted.read, serial = 0, writer.read().serial
    assert reader.read().serial == serial
    assert counted.read < 2048


def test_the_next_transaction_of_a_writer_reads_only_what_others_wrote_since(place: Path, counted: Counted) -> None:
    one, other = DirectoryStore(place), DirectoryStore(place)
    drain(one, 5, "one")
    drain(other, 6, "other")
    counted.read = 0
    drain(one, 5, "one again")
    assert counted.read < 8192


@counted_by_the_kernel
def test_contacts_write_neither_journal_nor_anything_else_after_the_first(place: Path, counted: Counted) -> None:
    store = DirectoryStore(place)
    seen = [f"gpu-{number:05d}" for number in range(SMALL)]
    store.contacted(dict.fromkeys(seen, "2026-11-23T12:00:00.000000Z"))
    before, kernel = journal_bytes(place), handed_to_the_kernel()
    store.contacted(dict.fromkeys(seen, "2026-11-23T12:00:10.000000Z"))
    assert (journal_bytes(place), handed_to_the_kernel(), counted.flushed) == (before, kernel, 0)
    assert set(store.contacts().values()) == {"2026-11-23T12:00:10.000000Z"}
