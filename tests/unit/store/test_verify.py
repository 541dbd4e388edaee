# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifying reads everything, finds each kind of damage, says where it is, and touches nothing."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from muster.store import DirectoryStore, back_up, backups, verify

from .disk import content, put, running

WRITER = """
import sys
from pathlib import Path
from muster.store import DirectoryStore
store = DirectoryStore(Path(sys.argv[1]), compact_bytes=int(sys.argv[2]))
number = 0
while True:
    number += 1
    with store.transaction(who="writer", why="again") as draft:
        draft.put("nodes", {"name": f"w{number % 5}", "size": number})
    if number == 3:
        print("off", flush=True)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one of everything: snapshots, packed and plain segments, backups of both kinds, contacts."""
    store = DirectoryStore(tmp_path_factory.mktemp("made") / "store")
    for number in range(12):
        put(store, {"name": f"n{number % 5}", "size": number})
        if number % 4 == 3:
            back_up(store, packed=number == 7)
            store.compact(who="tester")
    store.contacted({"n1": "2026-11-23T12:00:00.000000Z"})
    put(store, {"name": "n1", "size": 99})
    put(store, {"name": "n2", "size": 99})
    return store.path


@pytest.fixture
def rich(made: Path, tmp_path: Path) -> DirectoryStore:
    """A copy of it."""
    return DirectoryStore(shutil.copytree(made, tmp_path / "store"))


PARTS = {
    "the snapshot": "state.json",
    "the snapshot before": "state.json.backup",
    "a backup": "backups/*.json",
    "a packed backup": "backups/*.json.gz",
    "the segment that is written to": "journal/*.jsonl",
    "a segment before": "journal/*.jsonl",
    "a packed segment": "journal/*.jsonl.gz",
}


def part(store: DirectoryStore, name: str) -> Path:
    """The file of a store that goes by this name here."""
    found = sorted(store.path.glob(PARTS[name]))
    return found[-1] if name == "the segment that is written to" else found[0]


def spoiled(path: Path, chance: random.Random) -> bytes:
    """The file with one bit flipped that means something: gzip has some that do not."""
    whole = path.read_bytes()
    while True:
        found = bytearray(whole)
        found[chance.randrange(len(whole.rstrip(b"\0")))] ^= 1 << chance.randrange(8)
        if path.suffix != ".gz" or unpacked(bytes(found)) != unpacked(whole):
            return bytes(found)


def unpacked(text: bytes) -> bytes | None:
    """What was packed; None where it cannot be told."""
    try:
        return gzip.decompress(text)
    except (OSError, EOFError, zlib.error):
        return None


def test_what_was_read_is_counted_and_all_of_it_is_sound(rich: DirectoryStore) -> None:
    segments = sorted(path.name for path in (rich.path / "journal").iterdir())
    assert [name.partition(".")[2] for name in segments] == ["jsonl.gz", "jsonl.gz", "jsonl", "jsonl"]
    found = verify(rich.path)
    assert (found.problems, found.notes) == ([], [])
    assert (found.serial, found.lineage) == (14, rich.read().lineage)
    assert (found.snapshots, found.segments, found.transactions, found.backups) == (2, 4, 14, 3)


def test_a_store_that_was_recovered_is_sound_again(rich: DirectoryStore) -> None:
    segment = part(rich, "the segment that is written to")
    segment.write_bytes(segment.read_bytes().replace(b'"to":99', b'"to":98'))
    assert verify(rich.path).problems
    put(DirectoryStore(rich.path, tell=lambda _news: None), {"name": "later"})
    found = verify(rich.path)
    assert (found.problems, found.serial) == ([], 16)


@pytest.mark.parametrize("name", PARTS)
def test_a_flipped_bit_is_found_in_every_part_and_the_file_named(rich: DirectoryStore, name: str) -> None:
    path, chance = part(rich, name), random.Random(3)
    whole = path.read_bytes()
    for _time in range(25):
        path.write_bytes(spoiled(path, chance))
        damaged = content(rich.path)
        problems = verify(rich.path).problems
        assert any(str(path) in problem for problem in problems), name
        assert all("\n" not in problem for problem in problems)
        assert content(rich.path) == damaged, "nothing was touched"
        path.write_bytes(whole)
    assert verify(rich.path).problems == []


@pytest.mark.parametrize("name", sorted({*PARTS} - {"the segment that is written to"}))
def test_a_missing_end_is_found_in_every_part(rich: DirectoryStore, name: str) -> None:
    path = part(rich, name)
    whole = path.read_bytes().rstrip(b"\0")
    for length in {0, 1, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        assert any(str(path) in problem for problem in verify(rich.path).problems), length


def test_a_torn_end_of_the_journal_is_worth_a_note_only(rich: DirectoryStore) -> None:
    segment = part(rich, "the segment that is written to")
    segment.write_bytes(segment.read_bytes().rstrip(b"\0") + b'{"serial":15,"at":"2026')
    found = verify(rich.path)
    assert found.problems == []
    assert found.notes == [f"{segment} ends inside a transaction that was never acknowledged: the next writer cuts it"]
    put(DirectoryStore(rich.path), {"name": "later"})
    assert verify(rich.path).notes == []


def test_an_end_of_the_journal_that_was_acknowledged_is_missed(rich: DirectoryStore) -> None:
    segment = part(rich, "the segment that is written to")
    lines = segment.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-1]))
    (problem,) = verify(rich.path).problems
    assert problem.startswith(f"{segment} is damaged: what was changed after ")
    assert problem.endswith("is lost, 1 transaction at most (serial 14)")


@pytest.mark.parametrize("length", [0, -5])
def test_an_end_that_the_snapshot_has_is_missed_in_the_journal_too(rich: DirectoryStore, length: int) -> None:
    """The snapshot before needs it, and so does history."""
    rich.compact(who="tester")
    segment = part(rich, "the segment that is written to")
    segment.write_bytes(segment.read_bytes().rstrip(b"\0")[:length])
    assert any(str(segment) in problem for problem in verify(rich.path).problems)


def test_a_segment_that_is_missing_in_the_middle_is_missed(rich: DirectoryStore) -> None:
    segments = sorted((rich.path / "journal").iterdir())
    segments[1].unlink()
    (problem,) = verify(rich.path).problems
    assert problem == (
        f"{segments[2]} does not go on where the one before ends, at serial {int(segments[1].name.split('.')[0])}"
    )


def test_history_that_was_moved_away_is_not_missed(rich: DirectoryStore) -> None:
    segments = sorted((rich.path / "journal").iterdir())
    for path in segments[:2]:
        path.unlink()
    found = verify(rich.path)
    assert (found.problems, found.segments) == ([], len(segments) - 2)


def test_a_segment_of_another_store_is_no_part_of_this_one(rich: DirectoryStore, tmp_path: Path) -> None:
    other = DirectoryStore(tmp_path / "other")
    for number in range(12):
        put(other, {"name": f"n{number % 5}", "size": number})
        if number == 7:
            other.compact(who="tester")
    path = part(rich, "a segment before")
    path.write_bytes((other.path / "journal" / path.name).read_bytes())
    assert any("does not go on where the one before ends" in problem for problem in verify(rich.path).problems)


@pytest.mark.parametrize("name", ["state.json", "journal", "backups", "lock", "liveness"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_said_with_what_helps(rich: DirectoryStore, name: str, mode: int) -> None:
    path = rich.path / name
    if path.is_dir():
        path = min(path.iterdir())
    path.chmod(mode)
    assert verify(rich.path).problems == [f"{path} can be read by others: chmod go= {path}"]
    path.chmod(path.stat().st_mode & 0o700)
    assert verify(rich.path).problems == []


def test_all_problems_are_said_at_once(rich: DirectoryStore) -> None:
    (rich.path / "state.json").write_bytes(b"garbage")
    backup = part(rich, "a backup")
    backup.write_bytes(b"garbage")
    (rich.path / "lock").chmod(0o644)
    found = verify(rich.path)
    assert found.problems == [
        f"{rich.path}/state.json is damaged: its last line is not whole",
        f"{backup} is damaged: its last line is not whole",
        f"{rich.path}/lock can be read by others: chmod go= {rich.path}/lock",
    ]
    assert found.serial == 14, "what is left tells all of it"


def test_many_files_that_others_can_read_are_one_sentence(rich: DirectoryStore) -> None:
    for path in rich.path.glob("journal/*"):
        path.chmod(0o644)
    (rich.path / "backups" / "notes.txt").write_text("not the store's, and nobody's business")
    assert verify(rich.path).problems == [f"4 files of {rich.path} can be read by others: chmod -R go= {rich.path}"]


def test_of_a_directory_that_is_no_store_nothing_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("to be read by everybody")
    assert verify(tmp_path).problems == [f"{tmp_path} holds no state: run sync.yml, or name the store"]


def test_what_becomes_of_damage_is_said_as_well(rich: DirectoryStore, tmp_path: Path) -> None:
    (rich.path / "state.json.backup").write_bytes(b"garbage")
    assert verify(rich.path).notes == [
        f"{rich.path}/state.json.backup is made anew when the journal is folded next, and nothing was lost"
    ]
    put(rich, {"name": "newer"})
    rich.compact(who="tester")
    assert (verify(rich.path).problems, verify(rich.path).notes) == ([], [])
    (rich.path / "state.json").write_bytes(b"garbage")
    assert verify(rich.path).notes == ["nothing was lost, and the next change mends it"]


def test_a_damaged_file_of_history_can_go_with_those_before_it(rich: DirectoryStore) -> None:
    *_older, damaged = sorted(rich.path.glob("journal/*.gz"))
    damaged.write_bytes(b"garbage")
    assert verify(rich.path).notes == [
        "packed files are history, and nothing else: a damaged one can go, and those before it"
    ]
    for path in rich.path.glob("journal/*.gz"):
        path.unlink()
    assert (verify(rich.path).problems, verify(rich.path).notes) == ([], [])


def test_ruins_are_said_in_one_sentence(rich: DirectoryStore) -> None:
    for path in [*rich.path.glob("state.json*"), *rich.path.glob("journal/*.jsonl"), *rich.path.glob("backups/*")]:
        path.unlink()
    for path in rich.path.glob("journal/*"):
        path.unlink()
    (problem,) = verify(rich.path).problems
    assert f"{rich.path} holds no state that can be used" in problem


def test_only_the_name_of_the_last_holder_changes(rich: DirectoryStore) -> None:
    def bytes_of_files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in rich.path.rglob("*") if path.is_file() and path.name != "lock"}

    before = bytes_of_files(), sorted(rich.path.rglob("*")), content(rich.path)
    times = [path.stat().st_mtime_ns for path in sorted(rich.path.rglob("*")) if path.name != "lock"]
    assert verify(rich.path).problems == []
    assert (bytes_of_files(), sorted(rich.path.rglob("*")), content(rich.path)) == before
    assert [path.stat().st_mtime_ns for path in sorted(rich.path.rglob("*")) if path.name != "lock"] == times


def test_where_nobody_has_written_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    found = verify(tmp_path / "nowhere")
    assert found.problems == [f"{tmp_path}/nowhere holds no state: run sync.yml, or name the store"]
    assert (found.serial, found.snapshots, found.segments) == (0, 0, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_held_does_not_stop_it_for_ever(rich: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["muster.store.verify"], "WAIT_S", 0.05)
    with rich.transaction(who="tester", why="long"):
        found = verify(rich.path)
    assert found.problems == []
    assert "checked without the lock" in found.notes[0]
    assert "is locked by" in found.notes[0]


@pytest.mark.parametrize(
    "compact_bytes",
    [
        1 << 18,
        300,
    ],
    ids=["growing", "folding all the time"],
)
def test_beside_a_writer_all_is_sound(tmp_path: Path, compact_bytes: int) -> None:
    place = tmp_path / "store"
    with running(WRITER, place, compact_bytes) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "off\n"
        found = [verify(place) for _time in range(30)]
    assert [one.problems for one in found] == [[]] * 30
    assert [one.notes for one in found] == [[]] * 30, "nothing half is seen"
    assert found[0].serial < found[-1].serial


def test_a_backup_that_is_rotated_away_meanwhile_is_nothing_wrong(
    rich: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(directory: Path) -> list[Path]:
        found = backups(directory)
        found[0].unlink()
        return found

    monkeypatch.setattr(sys.modules["muster.store.verify"], "backups", listed)
    assert verify(rich.path).problems == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("nowhere"),
    ],
    ids=["a directory", "a link to nothing"],
)
def test_what_cannot_be_read_is_a_problem_like_any_other(rich: DirectoryStore, spoil: Callable[[Path], None]) -> None:
    path = rich.path / "backups" / "state-00000000000000000099-abcdef01-20261123T000000Z.json"
    spoil(path)
    assert any(str(path) in problem for problem in verify(rich.path).problems)


def test_a_state_of_an_earlier_schema_is_sound_before_and_after_it_is_brought_forward(store: DirectoryStore) -> None:
    store.path.mkdir(mode=0o700)
    meta = {"key": "state", "schema": 1, "lineage": "c0ffee", "serial": 7, "epoch": 5}
    (store.path / "state.json").touch(0o600)
    (store.path / "state.json").write_text(json.dumps({"meta": {"1": meta}, "nodes": {"1": {"name": "n1"}}}))
    assert verify(store.path).problems == []
    put(store, {"name": "n2"})
    assert verify(store.path).problems == []


def test_a_witness_that_is_not_whole_is_said(rich: DirectoryStore) -> None:
    """Without it, a journal that has lost its end looks whole."""
    lock = rich.path / "lock"
    text = bytearray(lock.read_bytes())
    text[7] ^= 1
    lock.write_bytes(text)
    found = verify(rich.path)
    assert any(str(lock) in said for said in found.notes)
