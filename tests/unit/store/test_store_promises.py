# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store's promises, each with an attempt to break it: by many writers at once, by kill -9, by damage."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from muster.model import StoreError
from muster.store import SCHEMA, DirectoryStore
from tinydb import Query, TinyDB

PROCESSES = 6
TRANSACTIONS = 40


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def put(store: DirectoryStore, *documents: dict[str, Any], table: str = "nodes") -> None:
    with store.transaction(who="tester", why="test") as draft:
        for document in documents:
            draft.put(table, document)


def everything(store: DirectoryStore) -> dict[str, bytes]:
    """The content of each file of the store but its locks."""
    return {path.name: path.read_bytes() for path in store.path.iterdir() if "lock" not in path.name}


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


COUNT = """
import sys
from pathlib import Path
from muster.store import DirectoryStore
store, me, times = DirectoryStore(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for number in range(times):
    with store.transaction(who=me, why="count") as draft:
        count = (draft.get("nodes", "left") or {"count": 0})["count"] + 1
        draft.put("nodes", {"name": "left", "count": count})
        draft.put("nodes", {"name": f"{me}-{number}", "count": count})
        draft.put("nodes", {"name": "right", "count": count})
"""


def test_nothing_is_lost_when_many_processes_write_at_once_and_nobody_reads_half_a_change(
    store: DirectoryStore,
) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", COUNT, str(store.path), f"p{i}", str(TRANSACTIONS)])
        for i in range(PROCESSES)
    ]
    serial = 0
    while any(writer.poll() is None for writer in writers):
        tables = store.read()
        left, right = tables.get("nodes", "left"), tables.get("nodes", "right")
        assert (left or {}).get("count") == (right or {}).get("count"), "a torn state"
        assert tables.serial >= serial, "time went backwards"
        serial = tables.serial
    assert [writer.wait() for writer in writers] == [0] * PROCESSES
    tables = store.read()
    left = tables.get("nodes", "left")
    assert left is not None
    assert left["count"] == tables.serial == PROCESSES * TRANSACTIONS
    assert len(tables.all("nodes")) == PROCESSES * TRANSACTIONS + 2


def test_threads_of_one_process_lose_nothing_either(store: DirectoryStore) -> None:
    def count() -> None:
        for _time in range(20):
            with store.transaction(who="thread", why="count") as draft:
                there = draft.get("nodes", "n") or {"name": "n", "count": 0}
                draft.put("nodes", {**there, "count": there["count"] + 1})

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read().get("nodes", "n") == {"name": "n", "count": 100}


DIE = """
import os, signal, sys
from pathlib import Path
from muster.store import DirectoryStore
call, number = sys.argv[2], int(sys.argv[3])
real, calls = getattr(os, call), 0
def deadly(*arguments):
    global calls
    calls += 1
    if calls == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
setattr(os, call, deadly)
with DirectoryStore(Path(sys.argv[1])).transaction(who="victim", why="die") as draft:
    draft.put("nodes", {"name": "n1", "size": 2})
    draft.put("nodes", {"name": "n2", "size": 2})
"""


@pytest.mark.parametrize(
    ("call", "number", "written"),
    [("pwrite", 1, False), ("fchmod", 1, False), ("fsync", 1, False), ("replace", 1, False), ("fsync", 2, True)],
)
def test_a_writer_killed_at_any_step_leaves_the_state_before_or_after_and_no_lock(
    store: DirectoryStore, call: str, number: int, written: bool
) -> None:
    put(store, {"name": "n1", "size": 1})
    with running(DIE, store.path, call, number) as victim:
        assert victim.wait() == -9
    nodes = {row["name"]: row["size"] for row in store.read().all("nodes")}
    assert nodes == ({"n1": 2, "n2": 2} if written else {"n1": 1})
    put(store, {"name": "n3"})
    assert store.read().serial == (3 if written else 2)


PUT_AND_WAIT = """
import sys
from pathlib import Path
from muster.store import DirectoryStore
with DirectoryStore(Path(sys.argv[1])).transaction(who="holder", why="wait") as draft:
    draft.put("nodes", {"name": "n2"})
    print("inside", flush=True)
    sys.stdin.readline()
"""


def test_a_writer_killed_inside_its_transaction_changes_nothing(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    before = everything(store)
    with running(PUT_AND_WAIT, store.path) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "inside\n"
        victim.kill()
        victim.wait()
    assert everything(store) == before
    put(store, {"name": "n3"})
    assert [row["name"] for row in store.read().all("nodes")] == ["n1", "n3"]


def test_killed_writers_leave_no_litter_that_grows(store: DirectoryStore) -> None:
    for _time in range(5):
        with running(DIE, store.path, "replace", 1) as victim:
            victim.wait()
    put(store, {"name": "n1"})
    assert {path.name for path in store.path.iterdir()} == {"state.json", "lock"}


def test_reads_do_not_wait_for_a_writer_and_do_not_see_what_it_has_not_finished(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    with running(PUT_AND_WAIT, store.path) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert [row["name"] for row in store.read().all("nodes")] == ["n1"]


def test_waiting_too_long_for_the_lock_names_its_holder(store: DirectoryStore) -> None:
    with running(PUT_AND_WAIT, store.path) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        hasty = DirectoryStore(store.path, lock_timeout_s=0.05)
        with pytest.raises(StoreError) as error:
            put(hasty, {"name": "n1"})
        assert f"is locked by process {holder.pid} on " in str(error.value)
        assert "was not free within 0.05 s" in str(error.value)


def test_a_process_forked_during_a_transaction_does_not_keep_the_lock(store: DirectoryStore) -> None:
    """Ansible forks its workers whenever it likes."""
    context = multiprocessing.get_context("fork")
    over = context.Event()
    child = context.Process(target=over.wait)
    with store.transaction(who="parent", why="fork") as draft:
        draft.put("nodes", {"name": "n1"})
        child.start()
    try:
        put(DirectoryStore(store.path, lock_timeout_s=1), {"name": "n2"})
    finally:
        over.set()
        child.join()
    assert store.read().serial == 2


def test_a_block_that_fails_changes_nothing(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    before = everything(store)
    with pytest.raises(ZeroDivisionError), store.transaction(who="tester", why="fail") as draft:
        draft.put("nodes", {"name": "n2"})
        draft.remove("nodes", ["n1"])
        draft.next_epoch()
        _ = 1 / 0
    assert everything(store) == before


def test_a_change_that_changes_nothing_is_not_written(store: DirectoryStore) -> None:
    put(store, {"name": "n1", "labels": {"a": "b"}})
    before, inode = everything(store), (store.path / "state.json").stat().st_ino
    with store.transaction(who="somebody else", why="nothing") as draft:
        assert draft.put("nodes", {"labels": {"a": "b"}, "name": "n1"}) is False
        assert draft.remove("nodes", ["n2"]) == 0
    with store.transaction(who="somebody else", why="there and back") as draft:
        assert draft.put("nodes", {"name": "n1", "labels": {}}) is True
        assert draft.put("nodes", {"name": "n1", "labels": {"a": "b"}}) is True
    assert everything(store) == before
    assert (store.path / "state.json").stat().st_ino == inode
    assert (store.read().serial, store.transactions) == (1, 1)


def test_a_rehearsal_sees_its_own_changes_and_writes_nothing(store: DirectoryStore) -> None:
    with store.rehearsal() as draft:
        draft.put("nodes", {"name": "n1"})
        assert draft.get("nodes", "n1") == {"name": "n1"}
    assert not store.path.exists(), "not even the directory"
    put(store, {"name": "n1"})
    before = everything(store)
    with store.rehearsal() as draft:
        draft.remove("nodes", ["n1"])
        assert draft.all("nodes") == []
    assert everything(store) == before
    assert store.transactions == 1


def test_what_was_acknowledged_is_on_disk_the_file_before_its_name(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def replaced(old: Path, new: Path) -> None:
        steps.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    put(store, {"name": "n1"})
    assert steps == ["file", "replace", "directory"]


def test_only_the_owner_may_read_the_state_whatever_the_umask(store: DirectoryStore) -> None:
    mask = os.umask(0)
    try:
        put(store, {"name": "n1"})
        store.contacted({"n1": "2026-11-23T12:00:00.000000Z"})
    finally:
        os.umask(mask)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.path.iterdir()} == {0o600}


def test_lineage_stays_serial_and_epoch_rise_and_the_last_change_says_who_and_why(store: DirectoryStore) -> None:
    lineages = set()
    for number in (1, 2, 3):
        with store.transaction(who=f"user{number}", why="try") as draft:
            assert draft.next_epoch() == number
        tables = store.read()
        lineages.add(tables.lineage)
        meta = tables.get("meta", "state")
        assert meta is not None
        assert (tables.serial, meta["epoch"], meta["changed"]["who"]) == (number, number, f"user{number}")
    assert len(lineages) == 1


class TestReadable:
    def test_stock_tinydb_opens_the_state_and_finds_what_is_in_it(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1", "health": {"state": "OK"}}, {"name": "n2", "health": {"state": "CRIT"}})
        put(store, {"name": "n1", "health": {"state": "WARN"}}, {"name": "n3", "health": {"state": "OK"}})
        with TinyDB(store.path / "state.json", access_mode="r") as db:
            assert {row["name"] for row in db.table("nodes").search(Query().health.state == "WARN")} == {"n1"}
            assert db.tables() >= {"nodes", "jobs", "leases", "meta"}
            assert len(db.table("nodes")) == 3

    def test_one_document_is_one_line(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1", "labels": {"a": "b"}}, {"name": "n2"})
        text = (store.path / "state.json").read_text()
        assert '  "1": {"name": "n1", "labels": {"a": "b"}},\n  "2": {"name": "n2"}\n' in text
        assert json.loads(text)["meta"]["1"]["schema"] == SCHEMA

    def test_any_text_that_a_node_may_send_can_be_kept_and_read_by_stock_tinydb(self, store: DirectoryStore) -> None:
        strange = "naïve 🔥 \udcff \u2028 \0 \x1b[31m\n"
        put(store, {"name": "n1", "tail": [strange]})
        assert store.read().get("nodes", "n1") == {"name": "n1", "tail": [strange]}
        environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        script = "import sys, tinydb; print(len(tinydb.TinyDB(sys.argv[1], access_mode='r').table('nodes')))"
        argv = [sys.executable, "-c", script, str(store.path / "state.json")]
        assert subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout == "1\n"

    def test_a_state_that_stock_tinydb_wrote_is_read(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"})
        with TinyDB(store.path / "state.json") as db:
            db.table("nodes").insert({"name": "n2"})
            db.insert({"note": "mine"})
        put(store, {"name": "n3"})
        assert [row["name"] for row in store.read().all("nodes")] == ["n1", "n2", "n3"]
        with TinyDB(store.path / "state.json", access_mode="r") as db:
            assert db.all() == [{"note": "mine"}], "what is not ours stays"


GOOD_META = {"key": "state", "schema": SCHEMA, "lineage": "x", "serial": 1, "epoch": 0}


class TestRefusals:
    """What cannot be read is left as it is, and nobody starts anew over it."""

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "it is not JSON"),
            (b'{"nodes": {"1": {"na', "it is not JSON"),
            (b"\0" * 512, "it is not JSON"),
            (b"\xff\xfe{}", "it is not JSON"),
            (b"[" * 200_000, "it is not JSON"),
            (b"[1, 2]", "it is not a set of tables"),
            (b'"text"', "it is not a set of tables"),
            (b'{"nodes": []}', "it is not a set of tables"),
            (b"{}", "it does not say which schema it has"),
            (b'{"meta": {"1": {"key": "other", "schema": 1}}}', "it does not say which schema it has"),
            (b'{"meta": {"1": {"key": "state", "schema": 1}}}', "it does not say whose state it is"),
            (json.dumps({"meta": {"1": GOOD_META}, "nodes": {"1": {}}}).encode(), "row 1 of table nodes has no name"),
            (json.dumps({"meta": {"1": GOOD_META}, "jobs": {"1": 3}}).encode(), "row 1 of table jobs has no id"),
            (
                json.dumps({"meta": {"1": GOOD_META}, "nodes": {"x": {"name": "a"}}}).encode(),
                "table nodes has a row x, and rows are numbered",
            ),
            (
                json.dumps({"meta": {"1": GOOD_META}, "nodes": {"1": {"name": "a"}, "2": {"name": "a"}}}).encode(),
                "table nodes has a twice",
            ),
        ],
    )
    def test_a_damaged_state_is_refused_and_left_untouched(
        self, store: DirectoryStore, content: bytes, why: str
    ) -> None:
        store.path.mkdir()
        (store.path / "state.json").write_bytes(content)
        for attempt in (store.read, lambda: put(store, {"name": "n1"})):
            with pytest.raises(StoreError) as error:
                attempt()
            assert f"{store.path}/state.json is damaged: {why}" in str(error.value)
            assert "put a backup in its place" in error.value.hint
        assert everything(store) == {"state.json": content}

    def test_a_state_cut_short_anywhere_is_never_taken_for_a_state(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"}, {"name": "n2"})
        whole = (store.path / "state.json").read_bytes()
        for length in range(len(whole) - 2):
            (store.path / "state.json").write_bytes(whole[:length])
            with pytest.raises(StoreError, match="is damaged"):
                store.read()

    def test_a_newer_schema_is_refused_and_left_untouched(self, store: DirectoryStore) -> None:
        store.path.mkdir()
        content = json.dumps({"meta": {"1": {"key": "state", "schema": SCHEMA + 1}}}).encode()
        (store.path / "state.json").write_bytes(content)
        for attempt in (store.read, lambda: put(store, {"name": "n1"})):
            with pytest.raises(StoreError, match=f"has schema {SCHEMA + 1}, and this Muster knows schemas up to"):
                attempt()
        assert everything(store) == {"state.json": content}

    def test_a_state_that_cannot_be_read_is_said(self, store: DirectoryStore) -> None:
        (store.path / "state.json").mkdir(parents=True)
        with pytest.raises(StoreError, match=r"state\.json cannot be read: Is a directory .*MUSTER_STORE"):
            store.read()
        with pytest.raises(StoreError, match=r"state\.json cannot be read: Is a directory"):
            put(store, {"name": "n1"})

    def test_a_state_of_somebody_else_is_said(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"})
        (store.path / "state.json").chmod(0)
        me = os.geteuid()
        if me == 0:  # root may read everything
            os.seteuid(65534)
        try:
            with pytest.raises(StoreError, match=r"state\.json cannot be read: Permission denied"):
                store.read()
        finally:
            os.seteuid(me)

    def test_a_lock_that_cannot_be_taken_is_said(self, store: DirectoryStore) -> None:
        (store.path / "lock").mkdir(parents=True)
        with pytest.raises(StoreError, match="lock cannot be locked: Is a directory"):
            put(store, {"name": "n1"})

    def test_a_directory_that_cannot_be_made_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="store cannot be created: Not a directory"):
            put(DirectoryStore(tmp_path / "file" / "store"), {"name": "n1"})

    def test_a_full_disk_is_said_and_the_state_stays(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, {"name": "n1"})
        before = (store.path / "state.json").read_bytes()

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"state\.json cannot be written: No space left on device"):
            put(store, {"name": "n2"})
        assert (store.path / "state.json").read_bytes() == before


class TestContacts:
    def test_a_contact_never_goes_back(self, store: DirectoryStore) -> None:
        store.contacted({"n1": "2026-11-23T12:00:00.000000Z"})
        store.contacted({"n1": "2026-11-23T11:00:00.000000Z", "n2": "2026-11-23T10:00:00.000000Z"})
        assert store.contacts() == {"n1": "2026-11-23T12:00:00.000000Z", "n2": "2026-11-23T10:00:00.000000Z"}

    def test_contacts_are_no_change_of_the_state(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"})
        before = (store.path / "state.json").read_bytes()
        store.contacted({"n1": "2026-11-23T12:00:00.000000Z"})
        assert (store.path / "state.json").read_bytes() == before
        assert store.transactions == 1

    def test_damaged_contacts_are_forgotten_without_harm(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"})
        for damage in (b"{", b"[1]", b"\0\0"):
            (store.path / "liveness.json").write_bytes(damage)
            assert store.contacts() == {}
        store.contacted({"n1": "2026-11-23T12:00:00.000000Z"})
        assert list(store.contacts()) == ["n1"]

    def test_a_store_that_nobody_has_written_has_seen_nobody(self, store: DirectoryStore) -> None:
        assert store.contacts() == {}
        assert store.read().all("nodes") == []
        assert not store.path.exists()
