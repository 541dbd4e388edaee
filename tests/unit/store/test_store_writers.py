# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many processes and threads at once: no update is lost, readers wait for nobody, and nobody sees half a change."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

from muster.store import Database, DirectoryStore
from tinydb.operations import increment

from tests.unit.store.disk import HOLD, holding, names, put, running

PROCESSES, INCREMENTS = 20, 500

INCREMENT = """
import sys
from muster.store import Database
from tinydb.operations import increment
table = Database(sys.argv[1]).table("counters")
print("ready", flush=True)
sys.stdin.readline()
for _time in range(int(sys.argv[2])):
    table.update(increment("n"), doc_ids=[1])
"""

WRITE_PAIRS = """
import sys
from pathlib import Path
from muster.store import DirectoryStore
store, me = DirectoryStore(Path(sys.argv[1]), compact_bytes=2000), sys.argv[2]
for number in range(int(sys.argv[3])):
    with store.transaction(who=me, why="count") as draft:
        count = (draft.get("nodes", "left") or {"count": 0})["count"] + 1
        draft.put("nodes", {"name": "left", "count": count})
        draft.put("nodes", {"name": f"{me}-{number}", "count": count})
        draft.put("nodes", {"name": "right", "count": count})
"""


def test_twenty_processes_count_to_ten_thousand(store: DirectoryStore) -> None:
    Database(store).table("counters").insert({"n": 0})
    counters = [
        subprocess.Popen(
            [sys.executable, "-c", INCREMENT, str(store.path), str(INCREMENTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for counter in counters:
            assert counter.stdout is not None
            assert counter.stdout.readline() == "ready\n"
        for counter in counters:  # all at once
            counter.communicate("\n")
    finally:
        for counter in counters:
            counter.kill()
            counter.wait()
    assert [counter.returncode for counter in counters] == [0] * PROCESSES
    assert Database(store).table("counters").all() == [{"n": PROCESSES * INCREMENTS}]
    assert DirectoryStore(store.path).read().serial == 1 + PROCESSES * INCREMENTS


def test_threads_of_one_process_that_share_one_database_lose_nothing_either(store: DirectoryStore) -> None:
    database = Database(store)
    database.table("counters").insert({"n": 0})

    def count() -> None:
        for _time in range(100):
            database.table("counters").update(increment("n"))

    together([count] * 8)
    assert database.table("counters").all() == [{"n": 800}]
    assert DirectoryStore(store.path).read().serial == 801


def together(work: list[Callable[[], None]]) -> None:
    """Run all of it at the same time, a thread each; fails with what the first of them raised."""
    failures: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=[one]) for one in work]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    if failures:
        raise failures[0]


def test_nobody_reads_half_a_change_or_goes_back_in_time_while_many_write_and_fold(store: DirectoryStore) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE_PAIRS, str(store.path), f"p{number}", "60"])
        for number in range(6)
    ]
    serial = reads = 0
    while any(writer.poll() is None for writer in writers):
        for tables in (store.read(), DirectoryStore(store.path).read()):
            left, right = tables.get("nodes", "left"), tables.get("nodes", "right")
            assert (left or {}).get("count") == (right or {}).get("count"), "a torn state"
            assert (left or {"count": 0})["count"] == tables.serial >= serial, "time went backwards"
            serial = tables.serial
            reads += 1
    assert [writer.wait() for writer in writers] == [0] * 6
    tables = DirectoryStore(store.path).read()
    assert (tables.serial, tables.count("nodes"), len(names(tables))) == (360, 362, 362)
    assert reads > 10


def test_readers_and_writers_in_threads_of_one_process_see_whole_states_only(store: DirectoryStore) -> None:
    shared = DirectoryStore(store.path, compact_bytes=2000)
    put(shared, *({"name": f"n{number}", "count": 0} for number in range(40)))
    over = threading.Event()

    def write() -> None:
        try:
            for count in range(1, 150):
                put(shared, *({"name": f"n{number}", "count": count} for number in range(40)))
        finally:
            over.set()

    def read() -> None:
        while not over.is_set():
            tables = shared.read()
            counts = {(tables.get("nodes", f"n{number}") or {}).get("count") for number in range(0, 40, 3)}
            assert counts == {tables.serial - 1}
            assert {row["count"] for row in tables.all("nodes")} == counts

    together([write, read, read, read])
    assert DirectoryStore(store.path).read().serial == 150


def test_what_was_read_stays_as_it_was_while_others_write(store: DirectoryStore) -> None:
    other = DirectoryStore(store.path)
    put(store, {"name": "n1", "labels": {"a": "b"}}, {"name": "n2"})
    store.compact(who="tester")
    seen = [(view, names(view), holding(view)) for view in (store.read(), other.read())]

    def look() -> None:
        for reader in (store, other):
            view = reader.read()
            seen.append((view, names(view), holding(view)))
        for view, named, held in seen:
            assert (names(view), holding(view)) == (named, held)

    put(store, {"name": "n1", "labels": {}}, {"name": "n3"})
    look()
    with other.transaction(who="tester", why="test") as draft:
        draft.remove("nodes", ["n2"])
        draft.next_epoch()
    look()
    store.compact(who="tester")
    put(DirectoryStore(store.path), {"name": "n4"})
    look()
    assert [named for _view, named, _held in seen[::2]] == [
        ["n1", "n2"],
        ["n1", "n2", "n3"],
        ["n1", "n3"],
        ["n1", "n3", "n4"],
    ]
    assert [view.serial for view, _named, _held in seen] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_reads_do_not_wait_for_a_writer_and_do_not_see_what_it_has_not_finished(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    hasty = DirectoryStore(store.path, lock_timeout_s=0)
    with running(HOLD, store.path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "inside\n"
        for reader in (store, hasty):
            assert names(reader) == ["n1"]
            with reader.rehearsal() as draft:
                assert draft.count("nodes") == 1
        writer.communicate("\n")
    assert names(hasty) == ["n1", "n2"]


def test_a_thread_reads_while_another_of_the_same_process_writes(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    found: list[list[str]] = []
    with store.transaction(who="tester", why="long") as draft:
        draft.put("nodes", {"name": "n2"})
        together([lambda: found.append(names(store))])
    assert found == [["n1"]]


def test_threads_that_read_one_state_for_the_first_time_all_see_it_as_it_is(store: DirectoryStore) -> None:
    """A document is put together from the snapshot and its changes when it is first asked for."""
    put(store, *({"name": f"n{number}", "count": -1} for number in range(30)))
    store.compact(who="tester")
    for count in range(30):
        put(store, *({"name": f"n{number}", "count": count} for number in range(20)))

    def read() -> None:
        start.wait()
        for number in range(30):
            expected = {"name": f"n{number}", "count": 29 if number < 20 else -1}
            assert tables.get("nodes", f"n{number}") == expected
        assert len(tables.all("nodes")) == 30

    for _time in range(40):
        tables, start = DirectoryStore(store.path).read(), threading.Barrier(4)
        together([read] * 4)
