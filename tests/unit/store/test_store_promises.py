# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction is there wholly or not at all, and on disk when it returns: attempts to break that."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from muster.model import Conflict, InvalidInput
from muster.store import DirectoryStore

from tests.unit.store.disk import content, forked, holding, names, put, running, sound

STEPS = ["open", "write", "pwrite", "fchmod", "fsync", "fdatasync", "replace", "link", "unlink", "ftruncate", "mkdir"]
"""What a commit asks of the operating system."""

PUT_AND_WAIT = """
import sys
from pathlib import Path
from muster.store import DirectoryStore
with DirectoryStore(Path(sys.argv[1])).transaction(who="victim", why="wait") as draft:
    draft.put("nodes", {"name": "n2"})
    draft.remove("nodes", ["n1"])
    print("inside", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is made durable from now on, in order: which file is flushed, which takes which name."""
    taken: list[str] = []

    def recorded(verb: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            done = real(*arguments)
            where = os.readlink(f"/proc/self/fd/{arguments[0]}") if isinstance(arguments[0], int) else arguments[-1]
            taken.append(f"{verb} {'directory' if Path(where).is_dir() else Path(where).name}")
            return done

        return call

    for verb in ("fsync", "fdatasync", "replace"):
        monkeypatch.setattr(os, verb, recorded(verb, getattr(os, verb)))
    return taken


def test_a_block_that_fails_changes_nothing(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    before = content(store.path)
    with pytest.raises(ZeroDivisionError), store.transaction(who="tester", why="fail") as draft:
        draft.put("nodes", {"name": "n2"})
        draft.remove("nodes", ["n1"])
        draft.next_epoch()
        _ = 1 / 0
    assert content(store.path) == before
    assert names(store) == ["n1"]


def test_a_writer_killed_inside_its_transaction_changes_nothing(store: DirectoryStore) -> None:
    put(store, {"name": "n1"})
    before = content(store.path)
    with running(PUT_AND_WAIT, store.path) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "inside\n"
        victim.kill()
        victim.wait()
    assert content(store.path) == before
    put(store, {"name": "n3"})
    assert names(store) == ["n1", "n3"]


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a process that is killed before its ``step``-th step; whether it got to the end before that."""

    def die() -> None:
        left = step

        def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)

            return call

        for name in STEPS:
            setattr(os, name, deadly(getattr(os, name)))
        work()

    status = forked(die)
    assert status in (0, -signal.SIGKILL)
    return status == 0


@pytest.mark.parametrize("compact_bytes", [0, 1 << 18], ids=["with a new snapshot", "journal only"])
@pytest.mark.parametrize("written", [False, True], ids=["the first one", "a later one"])
def test_a_writer_killed_at_any_step_leaves_the_state_before_or_after_and_no_lock(
    tmp_path: Path, compact_bytes: int, written: bool
) -> None:
    place, ends = tmp_path, []
    for step in range(1, 100):
        place = tmp_path / str(step)
        store = DirectoryStore(place, compact_bytes=compact_bytes)
        if written:
            put(store, {"name": "n1", "size": 1}, {"name": "n2", "size": 1})
            put(store, {"name": "n2", "size": 1.5})
        before = names(store)
        two = {"name": "n1", "size": 2}, {"name": "n2", "size": 2}
        over = killed_at(step, lambda store=store, two=two: put(store, *two))  # type: ignore[misc]
        sizes = [row["size"] for row in DirectoryStore(place).read().all("nodes")]
        assert sizes == [2, 2] or (sizes == [1, 1.5] if written else sizes == []), f"half a change, at step {step}"
        ends.append(sizes == [2, 2])
        assert not over or ends[-1], "acknowledged, and gone"
        put(DirectoryStore(place, lock_timeout_s=1), {"name": "n3"})
        tables = DirectoryStore(place).read()
        assert names(tables) == ([*before, "n3"] if before or not ends[-1] else ["n1", "n2", "n3"])
        assert tables.serial == 1 + 2 * written + ends[-1]
        assert sound(store)
        if over:
            break
    assert len(ends) > (20 if compact_bytes == 0 else 5), "it died at too few places to prove anything"
    assert ends == sorted(ends), "what was there after one step was gone after the next"
    assert ends[0] is False
    assert ends[-1] is True
    files = {path.name for path in place.iterdir()}
    assert files <= {"state.json", "state.json.backup", "journal", "lock"}, "litter"


def test_what_killed_writers_leave_behind_does_not_pile_up(store: DirectoryStore) -> None:
    tiny = DirectoryStore(store.path, compact_bytes=0)
    put(tiny, {"name": "n1"})
    for number in range(1, 31):
        killed_at(number, lambda number=number: put(tiny, {"name": "n1", "size": number}))  # type: ignore[misc]
    put(tiny, {"name": "n2"})
    files = [path for path in store.path.rglob("*") if path.is_file()]
    assert not [path.name for path in files if path.name.startswith(".")]
    assert sound(tiny)


def test_a_change_of_nothing_writes_nothing(store: DirectoryStore, steps: list[str]) -> None:
    put(store, {"name": "n1", "labels": {"a": "b"}, "share": 1})
    before, files = content(store.path), sorted(store.path.rglob("*"))
    marks = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files if path.name != "lock"]
    steps.clear()
    with store.transaction(who="somebody else", why="nothing") as draft:
        assert draft.put("nodes", {"labels": {"a": "b"}, "share": 1, "name": "n1"}) is False
        assert draft.remove("nodes", ["n2"]) == 0
    with store.transaction(who="somebody else", why="there and back") as draft:
        assert draft.put("nodes", {"name": "n1", "labels": {}}) is True
        assert draft.put("nodes", {"name": "n1", "labels": {"a": "b"}, "share": 1}) is True
        draft.put("nodes", {"name": "n2"})
        draft.remove("nodes", ["n2"])
    assert content(store.path) == before
    assert sorted(store.path.rglob("*")) == files
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files if path.name != "lock"] == marks
    assert (store.read().serial, store.transactions, steps) == (1, 1, [])


def test_one_and_one_point_nought_and_true_are_not_the_same(store: DirectoryStore) -> None:
    """Python says they are equal, and JSON does not."""
    for serial, share in enumerate((1, 1.0, True, 1), start=1):
        put(store, {"name": "n1", "share": share})
        row = DirectoryStore(store.path).read().get("nodes", "n1")
        assert row is not None
        assert (type(row["share"]), store.read().serial) == (type(share), serial)


def test_a_rehearsal_sees_its_own_changes_and_writes_nothing(store: DirectoryStore) -> None:
    with store.rehearsal() as draft:
        draft.put("nodes", {"name": "n1"})
        assert draft.get("nodes", "n1") == {"name": "n1"}
    assert not store.path.exists(), "not even the directory"
    put(store, {"name": "n1"})
    before = content(store.path)
    with store.rehearsal() as draft, store.transaction(who="other", why="meanwhile") as real:
        draft.remove("nodes", ["n1"])
        assert draft.all("nodes") == []
        assert [row["name"] for row in real.all("nodes")] == ["n1"], "it locks nothing and changes nobody's view"
    assert content(store.path) == before
    assert store.transactions == 1


def test_what_was_acknowledged_is_on_disk_and_with_the_first_one_its_file_as_well(
    store: DirectoryStore, steps: list[str]
) -> None:
    put(store, {"name": "n1"})
    assert steps[-2:] == ["fdatasync 00000000000000000000.jsonl", "fsync directory"]
    steps.clear()
    put(store, {"name": "n2"})
    assert steps == ["fdatasync 00000000000000000000.jsonl"]


def test_a_snapshot_is_on_disk_before_it_has_its_name_and_its_name_before_anything_relies_on_it(
    store: DirectoryStore, steps: list[str]
) -> None:
    put(store, {"name": "n1"})
    steps.clear()
    assert store.compact(who="tester")
    flushed = steps.index("fsync .state.json.new")
    assert steps[flushed : flushed + 4] == [
        "fsync .state.json.new",
        "replace state.json.backup",
        "replace state.json",
        "fsync directory",
    ]
    steps.clear()
    put(store, {"name": "n2"})
    assert steps == ["fdatasync 00000000000000000001.jsonl", "fsync directory"]


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_only_the_owner_may_read_the_state_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    tiny = DirectoryStore(tmp_path / "store", compact_bytes=300)
    before = os.umask(mask)
    try:
        for number in range(8):
            put(tiny, {"name": f"n{number}"})
        tiny.contacted({"n1": "2026-11-23T12:00:00.000000Z"})
    finally:
        os.umask(before)
    places = [tiny.path, *tiny.path.rglob("*")]
    assert {path.name for path in places} > {"state.json.backup", "liveness", "lock"}
    assert any(path.name.endswith(".gz") for path in places)
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in places}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_lineage_stays_serial_and_epoch_rise_and_the_last_change_says_who_and_why(store: DirectoryStore) -> None:
    lineages = set()
    for number in (1, 2, 3):
        with store.transaction(who=f"user{number}", why="try") as draft:
            assert draft.next_epoch() == number
        for view in (store.read(), DirectoryStore(store.path).read()):
            lineages.add(view.lineage)
            assert (view.serial, view.epoch) == (number, number)
            assert (view.changed["who"], view.changed["why"]) == (f"user{number}", "try")
        store.compact(who="tester")
    assert len(lineages) == 1


def test_a_document_is_replaced_only_if_it_is_still_of_the_revision_that_was_read(store: DirectoryStore) -> None:
    put(store, {"name": "n1", "size": 1})
    put(store, {"name": "n2"})
    put(store, {"name": "n1", "size": 2})
    view = store.read()
    assert [view.rev("nodes", name) for name in ("n1", "n2", "n3")] == [3, 2, 0]
    with (
        pytest.raises(Conflict, match="n1 in nodes is at revision 3, not 1"),
        store.transaction(who="tester", why="late") as draft,
    ):
        draft.put("nodes", {"name": "n2", "size": 9})
        draft.put("nodes", {"name": "n1", "size": 3}, rev=1)
    with (
        pytest.raises(Conflict, match="n2 in nodes is at revision 2, not 0"),
        store.transaction(who="tester", why="not new") as draft,
    ):
        draft.put("nodes", {"name": "n2"}, rev=0)
    assert store.read().serial == 3
    with store.transaction(who="tester", why="in time") as draft:
        draft.put("nodes", {"name": "n1", "size": 3}, rev=3)
        draft.put("nodes", {"name": "n3"}, rev=0)
    assert store.compact(who="tester")
    assert [DirectoryStore(store.path).read().rev("nodes", name) for name in ("n1", "n2", "n3")] == [4, 2, 4]


@pytest.mark.parametrize(
    ("document", "error", "said"),
    [
        ({"name": "n1", "seen": {1, 2}}, TypeError, "it is no JSON"),
        ({"name": "n1", "raw": [b"x"]}, TypeError, "it is no JSON"),
        ({"name": "n1", (1, 2): "x"}, TypeError, "it is no JSON"),
        ({"name": 7}, InvalidInput, "must have a name that is a string"),
        ({}, KeyError, "name"),
    ],
)
def test_what_is_no_document_is_refused_at_once_and_with_it_the_whole_transaction(
    store: DirectoryStore, document: dict[Any, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said), store.transaction(who="tester", why="test") as draft:
        draft.put("nodes", {"name": "n0"})
        draft.put("nodes", document)
    assert holding(store) == {}


@pytest.fixture
def long(tmp_path: Path) -> Iterator[DirectoryStore]:
    """A store with a journal that is folded every few transactions."""
    yield DirectoryStore(tmp_path / "long", compact_bytes=2000)


def test_folding_the_journal_changes_nothing_but_the_files_and_keeps_them_near_the_size_of_the_state(
    long: DirectoryStore,
) -> None:
    folded, size = 0, 0
    for number in range(300):
        before = long.read()
        put(long, {"name": f"n{number % 7}", "size": number})
        state = (long.path / "state.json").stat()
        folded += state.st_ino != size
        size = state.st_ino
        assert holding(DirectoryStore(long.path)) == holding(long)
        assert holding(before) != holding(long)
        segments = [path.read_bytes() for path in (long.path / "journal").glob("*.jsonl")]
        assert sum(len(segment.rstrip(b"\0")) for segment in segments) < 3 * 2000
    assert folded > 20
    assert (long.path / "state.json").stat().st_size < 2500
    assert [record["serial"] for record in long.history()] == list(range(1, 301)), "history stays"
