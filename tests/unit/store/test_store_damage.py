# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files cut, flipped and zeroed everywhere: never a wrong answer taken for a right one, and what was lost is said."""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from muster.model import Damaged
from muster.store import DirectoryStore, Tables, verify
from muster.store.lock import witness

from tests.unit.store.disk import Document, holding, put
from tests.unit.store.disk import content as content_of

FLIPS = 2000
COMPACT_BYTES = 1500
ROOM_BYTES = 99
"""How much room is left in the journal: less than there would be, so that flipped bits hit what was written."""
NAMES = [f"n{number}" for number in range(9)]
State = dict[str, dict[int, Document]]


@dataclass
class Scene:
    """A store that is well, and what it held after each transaction."""

    files: dict[str, bytes] = field(default_factory=dict)
    active: str = ""
    """The journal's last segment."""
    states: dict[int, State] = field(default_factory=dict)
    epoch: int = 0

    @property
    def lines(self) -> bytes:
        """What the journal's last segment says, without the room after it."""
        return self.files[self.active].rstrip(b"\0")

    @property
    def reached(self) -> int:
        return max(self.states)

    def laid(self, place: Path, file: str = "", content: bytes = b"") -> Path:
        """This store in the directory ``place``, but with this content in ``file``."""
        return lay(place, self.files | ({file: content} if file else {}))


def everything(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def lay(place: Path, files: dict[str, bytes]) -> Path:
    """Make ``place`` have these files and no others, with little writing: it is done thousands of times."""
    shutil.rmtree(place / "damaged", ignore_errors=True)
    there = everything(place)
    for name in there.keys() - files.keys():
        (place / name).unlink()
    for name, content in files.items():
        if there.get(name) != content:
            (place / name).parent.mkdir(mode=0o700, exist_ok=True, parents=True)
            (place / name).write_bytes(content)
            (place / name).chmod(0o600)
    return place


@pytest.fixture(autouse=True)
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done to the files afterwards is the damage here: waiting for the disk would only take time."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda _handle: None)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    rng = random.Random(3)
    found = Scene(states={0: {}})
    store = DirectoryStore(tmp_path_factory.mktemp("scene") / "store", compact_bytes=COMPACT_BYTES)
    records = 0
    while len(found.states) < 40 or records < 5:
        with store.transaction(who="tester", why=f"change {len(found.states)}") as draft:
            draft.put("nodes", {"name": rng.choice(NAMES), "labels": {"turn": len(found.states)}})
            if rng.random() < 0.2:
                draft.remove("nodes", [rng.choice(NAMES)])
            if rng.random() < 0.2:
                draft.next_epoch()
        found.states[store.read().serial] = holding(store)
        found.active = max(f"journal/{path.name}" for path in (store.path / "journal").glob("*.jsonl"))
        records = (store.path / found.active).read_bytes().count(b"\n") - 1
    found.epoch = store.read().epoch
    found.files = content_of(store.path) | {"lock": (store.path / "lock").read_bytes()}
    found.files[found.active] += bytes(ROOM_BYTES)
    assert len(found.files) > 8, "snapshot, backup, lock, two segments and some that are packed"
    return found


def said_lost(told: list[str]) -> tuple[int, int]:
    """Which serials are said to be lost, at most; (0, 0) if none."""
    said = re.findall(r"is lost, \d+ transactions? at most \(serial (\d+)(?: to (\d+))?\)", " ".join(told))
    return (int(said[-1][0]), int(said[-1][1] or said[-1][0])) if said else (0, 0)


def judged(scene: Scene, place: Path, damaged: str) -> str:
    """What became of the state: "complete" or "older"; fails if anything about it is not right, or not said."""
    told: list[str] = []
    there = (place / damaged).read_bytes()
    tables = DirectoryStore(place, tell=told.append).read()
    assert holding(tables) == scene.states[tables.serial], "a wrong answer"
    first, last = said_lost(told)
    assert (first, last >= scene.reached) == (
        (tables.serial + 1, True) if tables.serial < scene.reached else (0, False)
    )
    assert (place / damaged).read_bytes() == there, "a reader changes nothing"
    writer = DirectoryStore(place, tell=told.append)
    with writer.transaction(who="tester", why="go on") as draft:
        draft.put("nodes", {"name": "new"})
        assert draft.next_epoch() > scene.epoch, "an epoch was given twice"
    quiet: list[str] = []
    after = DirectoryStore(place, tell=quiet.append).read()
    assert quiet == [], "it is well again"
    assert after.serial > scene.reached, "a serial was given twice"
    without = {name: rows for name, rows in holding(after).items() if name != "meta"}
    without["nodes"] = {number: row for number, row in without["nodes"].items() if row["name"] != "new"}
    assert without == {name: rows for name, rows in holding(tables).items() if name != "meta"}
    assert witness((place / "lock").read_bytes()).serial == after.serial
    if told:
        assert there in [path.read_bytes() for path in (place / "damaged").iterdir()], "the damaged file is kept"
    return "complete" if tables.serial == scene.reached else "older"


def judge_files(scene: Scene, place: Path, damaged: str, there: bytes) -> None:
    """What is needed is well again after a transaction; of the rest it is said that it is damaged, if it is."""
    problems = verify(place).problems
    if damaged in ("state.json", "lock", scene.active):
        assert problems == []
    elif not damaged.endswith(".gz") or unpacked(there) != unpacked(scene.files[damaged]):
        assert problems != []


def unpacked(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return b""


def last_records(scene: Scene, count: int) -> tuple[bytes, range]:
    """The lines of the active segment, and where in it its last ``count`` records lie."""
    content = scene.lines
    begin = len(content)
    for _time in range(count):
        begin = content.rindex(b"\n", 0, begin - 1) + 1
    return content, range(begin, len(content))


def test_a_journal_cut_at_any_byte_of_its_last_three_records_keeps_all_that_is_whole(
    scene: Scene, tmp_path: Path
) -> None:
    content, places = last_records(scene, 3)
    for length in places:
        place = scene.laid(tmp_path / "cut", scene.active, content[:length])
        whole = content[:length].count(b"\n") - content.count(b"\n")
        assert DirectoryStore(place, tell=lambda _news: None).read().serial == scene.reached + whole
        assert judged(scene, place, scene.active) == "older"
        if length % 5 == 0:
            judge_files(scene, place, scene.active, content[:length])


def test_a_journal_that_is_zero_from_any_byte_of_its_last_three_records_keeps_all_that_is_whole(
    scene: Scene, tmp_path: Path
) -> None:
    content, places = last_records(scene, 3)
    for length in places:
        zeroed = content[:length] + b"\0" * (len(content) - length + ROOM_BYTES)
        place = scene.laid(tmp_path / "zero", scene.active, zeroed)
        assert judged(scene, place, scene.active) == "older"
        if length % 5 == 0:
            judge_files(scene, place, scene.active, zeroed)


def test_a_bit_flipped_anywhere_in_any_file_is_never_taken_for_the_state(scene: Scene, tmp_path: Path) -> None:
    rng = random.Random(2000)
    files, ends = list(scene.files), Counter[tuple[str, str]]()
    for turn in range(FLIPS):
        file = rng.choice(files)
        content = bytearray(scene.files[file])
        where = rng.randrange(len(content))
        content[where] ^= 1 << rng.randrange(8)
        place = scene.laid(tmp_path / "flip", file, bytes(content))
        part = "room" if file == scene.active and where >= len(scene.lines) else file
        ends[part, judged(scene, place, file)] += 1
        if turn % 5 == 0:
            judge_files(scene, place, file, bytes(content))
    assert sum(ends.values()) == FLIPS
    assert all(ends[file, "older"] == 0 for file in files if file != scene.active), "the rest holds all of it"
    assert ends[scene.active, "complete"] == 0, "it is noticed, whichever bit it is"
    assert (ends["room", "older"], ends["room", "complete"] > 0) == (0, True), "nothing was there to be lost"


def test_any_file_cut_or_zeroed_anywhere_is_never_taken_for_the_state(scene: Scene, tmp_path: Path) -> None:
    rng = random.Random(400)
    for _time in range(400):
        file = rng.choice([name for name in scene.files if name != scene.active])
        content = scene.files[file]
        begin = rng.randrange(len(content))
        rest = rng.choice([b"", b"\0" * (len(content) - begin)])
        place = scene.laid(tmp_path / "cut", file, content[:begin] + rest)
        assert judged(scene, place, file) == "complete"
        judge_files(scene, place, file, content[:begin] + rest)


def test_two_files_damaged_at_once_are_survived_or_refused(scene: Scene, tmp_path: Path) -> None:
    rng = random.Random(300)
    ends = Counter[str]()
    for _time in range(300):
        told: list[str] = []
        place = scene.laid(tmp_path / "two")
        for file in rng.sample([name for name in scene.files if name != "lock"], 2):
            content = bytearray(scene.files[file])
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            (place / file).write_bytes(bytes(content))
        try:
            tables = DirectoryStore(place, tell=told.append).read()
        except Damaged as damage:
            assert "sync.yml" in damage.hint
            ends["refused"] += 1
            continue
        assert holding(tables) == scene.states[tables.serial]
        assert (said_lost(told)[1] >= scene.reached) == (tables.serial < scene.reached)
        ends["complete" if tables.serial == scene.reached else "older"] += 1
    assert ends["complete"] > 100


def one_by_one(tables: Tables) -> dict[str, Document | None]:
    return {name: tables.get("nodes", name) for name in NAMES}


def named(state: State) -> dict[str, Document | None]:
    return dict.fromkeys(NAMES) | {row["name"]: row for row in state["nodes"].values()}


def test_of_a_snapshot_too_large_to_be_checked_at_once_nothing_wrong_is_handed_out(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.store.loading.CHECKED_AT_ONCE_BYTES", 0)
    rng = random.Random(300)
    content, ends = scene.files["state.json"], Counter[str]()
    for _time in range(300):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        place = scene.laid(tmp_path / "large", "state.json", bytes(flipped))
        for read in (holding, one_by_one):
            try:
                found = read(DirectoryStore(place, tell=lambda _news: None).read())
            except Damaged as damage:
                assert "state.json is damaged" in damage.message
                ends["refused"] += 1
                continue
            ends["right"] += 1
            assert found in (scene.states[scene.reached], named(scene.states[scene.reached]))
        put(DirectoryStore(place, tell=lambda _news: None), {"name": "new"})
        nodes_after = DirectoryStore(place).read().all("nodes")
        assert nodes_after[:-1] == list(scene.states[scene.reached]["nodes"].values()), "a writer checks all of it"
    assert ends["right"] > 50
    assert ends["refused"] > 50


def test_damage_is_noticed_also_where_nobody_bears_witness_of_what_was_acknowledged(
    scene: Scene, tmp_path: Path
) -> None:
    content, places = last_records(scene, 3)
    rng = random.Random(200)
    for _time in range(200):
        flipped = bytearray(content)
        place = rng.choice(places)
        flipped[place] ^= 1 << rng.randrange(8)
        if content[place] == 0x0A or flipped[place] == 0:
            continue  # as if the record had never got to the disk: only the witness knows
        told: list[str] = []
        store = DirectoryStore(scene.laid(tmp_path / "alone", scene.active, bytes(flipped)), tell=told.append)
        (store.path / "lock").unlink()
        tables = store.read()
        assert holding(tables) == scene.states[tables.serial]
        assert tables.serial < scene.reached
        assert said_lost(told) != (0, 0)


def test_records_of_two_pasts_are_not_mixed(scene: Scene, tmp_path: Path) -> None:
    """Two copies of a store that went on apart have records of the same numbers, and each is whole."""
    pasts = []
    for past in ("one", "other"):
        place = scene.laid(tmp_path / past)
        for number in range(3):
            put(DirectoryStore(place), {"name": past, "turn": number})
        pasts.append((place / scene.active).read_bytes().rstrip(b"\0").splitlines(keepends=True))
    mixed = [*pasts[0][:-1], pasts[1][-1]]
    told: list[str] = []
    store = DirectoryStore(tmp_path / "one", tell=told.append)
    (store.path / scene.active).write_bytes(b"".join(mixed))
    assert store.read().get("nodes", "one") == {"name": "one", "turn": 1}
    assert store.read().get("nodes", "other") is None
    assert said_lost(told) == (scene.reached + 3, scene.reached + 3)


class TestWhatWasNeverAcknowledged:
    """A writer that died in the middle: its transaction is dropped, and there is nothing to be said."""

    def next_line(self, scene: Scene, tmp_path: Path) -> bytes:
        place = scene.laid(tmp_path / "next")
        put(DirectoryStore(place), {"name": "next"})
        return (place / scene.active).read_bytes().rstrip(b"\0").removeprefix(scene.lines)

    def test_half_a_record_after_the_last_is_dropped_silently(self, scene: Scene, tmp_path: Path) -> None:
        line, content = self.next_line(scene, tmp_path), scene.lines
        for length in range(1, len(line)):
            zeros = b"\0" * (len(line) - length)
            # Of a line that is longer than a page, the last page may be on disk before the first.
            room = bytes(ROOM_BYTES)
            for part in (line[:length], line[:length] + zeros + room, zeros + line[-length:] + room):
                place = scene.laid(tmp_path / "torn", scene.active, content + part)
                told: list[str] = []
                store = DirectoryStore(place, tell=told.append)
                assert holding(store) == scene.states[scene.reached]
                put(store, {"name": "new"})
                tables = DirectoryStore(place, tell=told.append).read()
                assert (tables.serial, tables.get("nodes", "next")) == (scene.reached + 1, None)
                assert (told, verify(place).problems) == ([], [])

    def test_a_whole_record_that_nobody_was_told_of_may_stay(self, scene: Scene, tmp_path: Path) -> None:
        line, content = self.next_line(scene, tmp_path), scene.lines
        place = scene.laid(tmp_path / "whole", scene.active, content + line + bytes(ROOM_BYTES))
        told: list[str] = []
        store = DirectoryStore(place, tell=told.append)
        assert store.read().get("nodes", "next") == {"name": "next"}
        put(store, {"name": "new"})
        assert (DirectoryStore(place).read().serial, told) == (scene.reached + 2, [])
        assert verify(place).problems == []

    def test_the_first_record_of_a_segment_cut_anywhere_is_dropped_silently(self, scene: Scene, tmp_path: Path) -> None:
        folded = scene.laid(tmp_path / "folded")
        DirectoryStore(folded).compact(who="tester")
        files = everything(folded)
        put(DirectoryStore(folded), {"name": "first"})
        segment = f"journal/{scene.reached:020d}.jsonl"
        whole = (folded / segment).read_bytes().rstrip(b"\0")
        for length in range(len(whole)):
            place = lay(tmp_path / "torn", files | {segment: whole[:length]})
            told: list[str] = []
            store = DirectoryStore(place, tell=told.append)
            assert holding(store) == scene.states[scene.reached]
            put(store, {"name": "new"})
            assert DirectoryStore(place, tell=told.append).read().serial == scene.reached + 1
            assert (told, verify(place).problems) == ([], [])
