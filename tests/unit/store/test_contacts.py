# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When nodes were last seen: beside the state, no part of it, and lost without harm."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.model import StoreError
from muster.store import DirectoryStore

from tests.unit.store.disk import content, put, sound

NOON, ELEVEN, TEN = (f"2026-11-23T{hour}:00:00.000000Z" for hour in (12, 11, 10))


def test_a_contact_never_goes_back(store: DirectoryStore) -> None:
    store.contacted({"n1": NOON})
    store.contacted({"n1": ELEVEN, "n2": TEN})
    for reader in (store, DirectoryStore(store.path)):
        assert reader.contacts() == {"n1": NOON, "n2": TEN}


def test_one_contact_is_found_without_the_others(store: DirectoryStore) -> None:
    store.contacted({"n1": NOON, "n2": TEN})
    assert store.contacts("n2") == {"n2": TEN}
    assert store.contacts("n3") == {}


def test_a_time_comes_back_to_the_microsecond(store: DirectoryStore) -> None:
    times = {
        "a": "2026-11-23T12:00:00.123457Z",
        "b": "1970-01-01T00:00:00.000000Z",
        "c": "1969-12-31T23:59:59.999999Z",
        "d": "2099-12-31T23:59:59.999999Z",
    }
    store.contacted(times)
    assert store.contacts() == times


@pytest.mark.parametrize(
    "name",
    ["..", ".", "a/b", "/etc/passwd", "../../up", "~root", "-rf", "a b", "%2e%2e", "@n1", "naïve 🔥", "new\nline", "*"],
)
def test_a_node_may_have_any_name(store: DirectoryStore, name: str) -> None:
    store.contacted({name: NOON, "n1": TEN})
    assert store.contacts() == {name: NOON, "n1": TEN}
    assert store.contacts(name) == {name: NOON}
    assert {path.name for path in store.path.iterdir()} == {"liveness"}
    assert len(list((store.path / "liveness").iterdir())) == 2, "no file is anywhere else"
    assert {path.name for path in store.path.parent.iterdir()} == {"store"}


times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


@given(st.dictionaries(st.text(min_size=1, max_size=20), times))
def test_whatever_was_noted_is_what_is_told(tmp_path_factory: pytest.TempPathFactory, seen: dict[str, str]) -> None:
    store = DirectoryStore(tmp_path_factory.mktemp("any") / "store")
    store.contacted(seen)
    assert store.contacts() == seen
    shutil.rmtree(store.path.parent)


def test_names_too_long_for_a_file_do_not_hinder_the_others(store: DirectoryStore) -> None:
    name = "n" * 300
    store.contacted({name: NOON, "n1": TEN})
    assert store.contacts("n1") == {"n1": TEN}
    assert store.contacts(name) == {name: NOON}
    assert store.contacts()["n1"] == TEN


def test_long_names_that_begin_alike_are_not_mistaken_for_each_other(store: DirectoryStore) -> None:
    one, other = "n" * 300 + "a", "n" * 300 + "b"
    store.contacted({one: NOON})
    assert store.contacts(other) == {}


def test_contacts_are_no_change_of_the_state(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    before = {name: text for name, text in content(store.path).items() if not name.startswith("liveness/")}
    store.contacted({"n1": NOON})
    assert {name: text for name, text in content(store.path).items() if not name.startswith("liveness/")} == before
    assert (store.read().serial, store.transactions) == (1, 1)
    assert sound(store)


def test_the_mark_changes_with_each_contact_and_with_nothing_else(store: DirectoryStore) -> None:
    marks = [store.contact_mark()]
    for seen in ({"n1": TEN}, {"n1": NOON}, {"n2": TEN}):
        store.contacted(seen)
        marks.append(store.contact_mark())
        os.utime(store.path / "liveness", ns=(0, marks[-1] - 1))  # as if a tick of the file system's clock had passed
        marks[-1] -= 1
        put(store, {"name": "n1", "turn": len(marks)})
        assert store.contact_mark() == marks[-1]
    assert marks[0] == 0
    assert marks[1] < marks[2] < marks[3]


def test_contacts_that_are_lost_are_forgotten_without_harm(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    store.contacted({"n1": NOON})
    shutil.rmtree(store.path / "liveness")
    assert store.contacts() == {}
    store.contacted({"n1": TEN})
    assert store.contacts() == {"n1": TEN}


def test_a_store_that_nobody_has_written_has_seen_nobody(store: DirectoryStore) -> None:
    assert store.contacts() == store.contacts("n1") == {}
    assert store.contact_mark() == 0
    assert store.read().all("nodes") == []
    assert not store.path.exists()


def test_a_contact_before_the_first_transaction_is_kept(store: DirectoryStore) -> None:
    store.contacted({"n1": NOON})
    assert store.read().serial == 0
    put(store, {"name": "n1"})
    assert (store.contacts(), store.read().serial) == ({"n1": NOON}, 1)


def test_many_processes_note_contacts_at_once_and_the_latest_stays(store: DirectoryStore) -> None:
    def note(turn: int) -> None:
        for second in range(turn, 60, 4):
            store.contacted({f"n{number}": f"2026-11-23T12:00:{second:02d}.000000Z" for number in range(10)})

    processes = [multiprocessing.get_context("fork").Process(target=note, args=[turn]) for turn in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    late = {int(at[17:19]) for at in store.contacts().values()}
    assert late <= set(range(56, 60)), "of those who note at the same moment, the last may win"


def test_only_the_owner_may_see_who_was_seen(store: DirectoryStore) -> None:
    mask = os.umask(0)
    try:
        store.contacted({"n1": NOON})
    finally:
        os.umask(mask)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (store.path, *store.path.rglob("*"))}
    assert modes == {0o700, 0o600}


def test_contacts_that_cannot_be_noted_are_said(store: DirectoryStore) -> None:
    store.path.mkdir()
    (store.path / "liveness").touch()
    with pytest.raises(StoreError, match=r"liveness cannot be written: (Not a directory|File exists)"):
        store.contacted({"n1": NOON})
    with pytest.raises(StoreError, match="liveness cannot be read: Not a directory"):
        store.contacts()
