# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer at a time: who waits too long is told for whom, and no lock or transaction crosses a fork."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from muster.model import StoreError, utc_now
from muster.store import Database, DirectoryStore

from tests.unit.store.disk import HOLD, content, forked, holding, names, put, running


class TestTheLock:
    def test_waiting_too_long_names_the_holder_and_since_when(self, store: DirectoryStore) -> None:
        asked = utc_now() - timedelta(seconds=1)
        with running(HOLD, store.path) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with pytest.raises(StoreError) as error:
                put(DirectoryStore(store.path, lock_timeout_s=0.05), {"name": "n1"})
            said = str(error.value)
            assert f"{store.path} is locked by " in said
            assert f"(process {holder.pid} on {socket.gethostname()}, since " in said
            assert "was not free within 0.05 s" in said
            since = said.partition("since ")[2].partition(")")[0]
            assert asked <= datetime.fromisoformat(since) <= utc_now()
        put(store, {"name": "n1"})

    def test_the_holder_is_its_program_and_its_playbooks_and_never_its_other_words(self, store: DirectoryStore) -> None:
        words = "/opt/bin/ansible-playbook -e token=geheim /srv/site.yml -etoken=geheim.yml --vault=geheim.yml geheim"
        with running(HOLD, store.path, *words.split()) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "inside\n"
            with pytest.raises(StoreError, match=r"locked by ansible-playbook site\.yml \(process \d+ on ") as error:
                put(DirectoryStore(store.path, lock_timeout_s=0), {"name": "n1"})
            assert "geheim" not in str(error.value)
            assert "geheim" not in (store.path / "lock").read_text()

    def test_who_gave_up_waiting_does_not_get_the_lock_later(self, store: DirectoryStore) -> None:
        with running(HOLD, store.path) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            for _time in range(5):
                with pytest.raises(StoreError, match="is locked by"):
                    put(DirectoryStore(store.path, lock_timeout_s=0.01), {"name": "late"})
            holder.communicate("\n")
        put(DirectoryStore(store.path, lock_timeout_s=5), {"name": "n3"})
        assert names(store) == ["n2", "n3"]

    def test_a_lock_file_that_says_nonsense_is_a_lock_all_the_same(self, store: DirectoryStore) -> None:
        with running(HOLD, store.path) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            (store.path / "lock").write_bytes(b"\0" * 600)
            with pytest.raises(StoreError, match="is locked by another process"):
                put(DirectoryStore(store.path, lock_timeout_s=0), {"name": "n1"})


class TestForks:
    """Ansible forks its workers whenever it likes."""

    def test_a_child_cannot_commit_the_transaction_of_its_parent_nor_free_its_lock(self, store: DirectoryStore) -> None:
        put(store, {"name": "n1"})
        before = content(store.path)
        refused: list[str] = []

        def child(leave: Callable[[], object]) -> None:
            try:
                leave()
            except StoreError as error:
                refused.append(error.message)
            assert refused == [
                "a transaction was begun in one process and goes on in another, which was forked from it"
            ]
            try:
                put(DirectoryStore(store.path, lock_timeout_s=0), {"name": "n3"})
            except StoreError as error:
                assert f"(process {os.getppid()} on " in error.message
            else:
                raise AssertionError("the child took its parent's lock")

        block = store.transaction(who="parent", why="fork")
        block.__enter__().put("nodes", {"name": "n2"})
        assert forked(lambda: child(lambda: block.__exit__(None, None, None))) == 0
        assert content(store.path) == before
        block.__exit__(None, None, None)
        assert names(store) == ["n1", "n2"]

    def test_a_child_that_is_forked_inside_a_transaction_does_not_keep_the_lock(self, store: DirectoryStore) -> None:
        context = multiprocessing.get_context("fork")
        over = context.Event()
        child = context.Process(target=over.wait)
        with store.transaction(who="parent", why="fork") as draft:
            draft.put("nodes", {"name": "n1"})
            child.start()
        try:
            put(DirectoryStore(store.path, lock_timeout_s=0), {"name": "n2"})
        finally:
            over.set()
            child.join()
        assert store.read().serial == 2

    def test_a_child_that_fails_inside_the_block_of_its_parent_leaves_its_lock_alone(
        self, store: DirectoryStore
    ) -> None:
        def child() -> None:
            assert not block.__exit__(ZeroDivisionError, ZeroDivisionError(), None), "the error goes on its way"

        block = store.transaction(who="parent", why="fork")
        block.__enter__().put("nodes", {"name": "n1"})
        assert forked(child) == 0
        with pytest.raises(StoreError, match="is locked by"):
            put(DirectoryStore(store.path, lock_timeout_s=0), {"name": "n2"})
        block.__exit__(None, None, None)
        assert names(store) == ["n1"]

    def test_parent_and_child_go_on_with_one_store_object_each_as_if_it_were_its_own(
        self, store: DirectoryStore
    ) -> None:
        put(store, {"name": "n1"})

        def child() -> None:
            assert names(store)[0] == "n1"
            for number in range(30):
                put(store, {"name": f"child{number}"})

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        for number in range(30):
            put(store, {"name": f"parent{number}"})
        process.join()
        assert process.exitcode == 0
        assert (store.read().serial, len(set(names(store)))) == (61, 61)
        assert holding(store) == holding(DirectoryStore(store.path))

    def test_what_a_child_says_into_a_database_inside_its_parents_transaction_is_refused_and_not_lost(
        self, tmp_path: Path
    ) -> None:
        database = Database(tmp_path / "store")

        def child() -> None:
            with pytest.raises(StoreError):
                database.insert({"from": "child"})

        with database.transaction("parent"):
            database.insert({"from": "parent"})
            assert forked(child) == 0
        assert database.all() == [{"from": "parent"}]

    def test_a_child_forked_while_a_thread_of_its_parent_commits_can_use_the_store(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, {"name": "n1"})
        inside, forked_now = threading.Event(), threading.Event()
        flush = os.fdatasync

        def slow(handle: int) -> None:
            monkeypatch.setattr(os, "fdatasync", flush)
            inside.set()
            forked_now.wait(60)
            flush(handle)

        def child() -> None:
            signal.alarm(60)  # a lock that nobody holds in this process would be waited for without end
            assert names(store)[0] == "n1"
            with pytest.raises(StoreError, match="is locked by"):
                put(DirectoryStore(store.path, lock_timeout_s=0), {"name": "child"})

        monkeypatch.setattr(os, "fdatasync", slow)
        writer = threading.Thread(target=lambda: put(store, {"name": "n2"}))
        writer.start()
        try:
            inside.wait(60)
            assert forked(child) == 0
        finally:
            forked_now.set()
            writer.join()
        assert names(store) == ["n1", "n2"]
