# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Back from a backup: what is refused, what is kept of what was there, and that nothing is half restored."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from muster.model import Damaged, InvalidInput, MusterError, StoreError
from muster.store import SCHEMA, DirectoryStore, Restored, back_up, backups, read_backup, restore

from .backing import destroy, documents, kept, packing
from .disk import content, holding, names, put, sound


def outcome(done: Restored) -> tuple[bool, int]:
    return done.changed, done.serial


class TestRestoring:
    @packing
    def test_the_state_is_what_it_was_and_history_goes_on(self, filled: DirectoryStore, packed: bool) -> None:
        with filled.transaction(who="tester", why="launch") as draft:
            draft.next_epoch()
            draft.put("jobs", {"id": "j2", "name": "ring"})
        then, lineage = documents(filled), filled.read().lineage
        backup = back_up(filled, packed=packed).path
        with filled.transaction(who="tester", why="mistake") as draft:
            draft.next_epoch()
            draft.remove("nodes", ["n1", "n2"])
            draft.put("jobs", {"id": "j1", "name": "renamed"})
            draft.put("jobs", {"id": "j3", "name": "late"})
        assert outcome(restore(filled, backup, who="ann", force=True)) == (True, 4)
        for view in (filled.read(), DirectoryStore(filled.path).read()):
            assert documents(view) == then
            assert (view.serial, view.lineage) == (6, lineage)
            assert view.epoch > 1000, "tokens that were given since are worth nothing any more"
            assert view.count("nodes") == 2
        last = list(filled.history())[-1]
        assert [record["serial"] for record in filled.history()] == [1, 2, 3, 4, 5, 6]
        assert (last["who"], last["why"]) == ("ann", f"restore {backup.name}, serial 4")
        assert {change["key"] for change in last["changes"]} == {"n1", "n2", "j1", "j3", "state"}
        assert sound(filled)

    def test_what_it_replaced_is_among_the_backups(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "n9"})
        replaced = documents(filled)
        restore(filled, backup, who="ann", force=True)
        assert kept(filled) == [3, 4]
        newest = backups(filled.path / "backups")[-1]
        assert documents(read_backup(newest)) == replaced
        assert outcome(restore(filled, newest, who="ann", force=True)) == (True, 4)
        assert documents(filled) == replaced

    def test_a_second_time_changes_nothing(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "n9"})
        restore(filled, backup, who="ann", force=True)
        serial = filled.read().serial
        assert outcome(restore(filled, backup, who="ann", force=True)) == (False, 3)
        assert filled.read().serial == serial

    def test_a_second_time_writes_nothing_either(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "n9"})
        restore(filled, backup, who="ann", force=True)
        before = content(filled.path)
        restore(filled, backup, who="ann", force=True)
        assert content(filled.path) == before

    def test_into_an_empty_directory_the_cluster_moves_whole(self, filled: DirectoryStore, tmp_path: Path) -> None:
        backup = back_up(filled).path
        moved = DirectoryStore(tmp_path / "new" / "place")
        assert outcome(restore(moved, backup, who="ann")) == (True, 3)
        assert documents(moved) == documents(filled)
        assert moved.read().lineage == filled.read().lineage
        assert (moved.read().serial, moved.read().epoch >= 1000) == (4, True)
        put(moved, {"name": "n3"})
        assert names(DirectoryStore(moved.path)) == ["n1", "n2", "n3"]
        assert sound(moved)

    def test_the_state_of_another_cluster_is_refused_unless_forced(
        self, filled: DirectoryStore, other: DirectoryStore
    ) -> None:
        foreign = back_up(other).path
        before = content(filled.path)
        with pytest.raises(InvalidInput) as error:
            restore(filled, foreign, who="ann")
        assert f"{foreign} is the state of another cluster" in error.value.message
        assert other.read().lineage in error.value.message
        assert filled.read().lineage in error.value.message
        assert content(filled.path) == before
        assert outcome(restore(filled, foreign, who="ann", force=True)) == (True, 6)
        assert documents(filled) == documents(other)
        assert filled.read().lineage == other.read().lineage
        assert filled.read().serial == 7
        put(filled, {"name": "later"})
        filled.compact(who="tester")
        assert [record["serial"] for record in filled.history()] == [1, 2, 3, 7, 8]
        assert kept(filled) == [3], "the cluster that was there before"
        assert sound(filled)

    def test_an_older_state_is_refused_unless_forced(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "n3"})
        put(filled, {"name": "n4"})
        before = content(filled.path)
        with pytest.raises(InvalidInput) as error:
            restore(filled, backup, who="ann")
        assert "is at serial 3" in error.value.message
        assert "has reached serial 5: 2 transactions would be undone" in error.value.message
        assert "muster state history" in error.value.hint
        assert content(filled.path) == before

    @pytest.mark.parametrize("force", [False, True])
    def test_a_rehearsal_says_the_same_and_writes_nothing(
        self, filled: DirectoryStore, other: DirectoryStore, force: bool
    ) -> None:
        backup, foreign = back_up(filled).path, back_up(other).path
        before = content(filled.path)
        assert outcome(restore(filled, backup, who="ann", force=force, dry_run=True)) == (False, 3)
        put(filled, {"name": "n3"})
        for path, serial in ((backup, 3), (foreign, 6)):
            before = content(filled.path)
            if force:
                assert outcome(restore(filled, path, who="ann", force=True, dry_run=True)) == (True, serial)
            else:
                with pytest.raises(InvalidInput):
                    restore(filled, path, who="ann", dry_run=True)
            assert content(filled.path) == before

    def test_a_rehearsal_where_nobody_has_written_makes_nothing(self, filled: DirectoryStore, tmp_path: Path) -> None:
        empty = DirectoryStore(tmp_path / "empty")
        assert outcome(restore(empty, back_up(filled).path, who="ann", dry_run=True)) == (True, 3)
        assert not empty.path.exists()

    def test_if_what_is_replaced_cannot_be_backed_up_nothing_is_replaced(
        self, filled: DirectoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        backup = back_up(filled, to=tmp_path / "away").path
        put(filled, {"name": "n3"})
        before = content(filled.path)
        (filled.path / "backups").touch()  # where the directory would be
        with pytest.raises(StoreError, match="cannot be written"):
            restore(filled, backup, who="ann", force=True)
        (filled.path / "backups").unlink()
        assert content(filled.path) == before

    def test_no_backup_goes_because_of_a_restore(self, filled: DirectoryStore) -> None:
        for number in range(12):
            put(filled, {"name": "n1", "size": 100 + number})
            back_up(filled, keep=50)
        put(filled, {"name": "n9"})
        there = backups(filled.path / "backups")
        restore(filled, there[0], who="ann", force=True)
        assert set(backups(filled.path / "backups")) > set(there)

    def test_a_backup_of_an_earlier_schema_is_brought_forward(self, store: DirectoryStore, tmp_path: Path) -> None:
        old = tmp_path / "state.json"
        meta = {"key": "state", "schema": 1, "lineage": "c0ffee", "serial": 7, "epoch": 5}
        old.write_text(json.dumps({"meta": {"1": meta}, "nodes": {"1": {"name": "n1"}, "4": {"name": "n4"}}}))
        assert outcome(restore(store, old, who="ann")) == (True, 7)
        assert names(store) == ["n1", "n4"]
        assert (store.read().lineage, store.read().serial) == ("c0ffee", 8)
        assert store.read().epoch > 5
        assert sound(store)

    @pytest.mark.parametrize(
        "packed",
        [False, True],
        ids=["plain", "packed"],
    )
    def test_a_link_to_a_backup_is_as_good(self, filled: DirectoryStore, tmp_path: Path, packed: bool) -> None:
        link = tmp_path / ("latest.json.gz" if packed else "latest.json")
        link.symlink_to(back_up(filled, packed=packed).path)
        assert outcome(restore(filled, link, who="ann")) == (False, 3)


def newer(path: Path) -> None:
    path.write_text(json.dumps({"meta": {"1": {"key": "state", "schema": SCHEMA + 1}}}))


def of_a_newer_muster(path: Path) -> None:
    """As it would write it: all checksums are right."""
    text = path.read_bytes()
    mark = text.rindex(b'"_muster"')
    line = text[mark:].replace(b'"schema":%d' % SCHEMA, b'"schema":%d' % (SCHEMA + 1))
    body = line[line.index(b'{"schema"') : line.rindex(b',"crc"')]
    start = line[: line.index(b'{"schema"')]
    path.write_bytes(text[:mark] + start + body + b',"crc":"%08x"}}}\n' % zlib.crc32(body))


SPOILS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is damaged, or no backup of a state"),
    "text": (lambda path: path.write_text("root:x:0:0\n"), "is damaged, or no backup of a state"),
    "some JSON": (lambda path: path.write_text('{"nodes": {"1": {"name": "n1"}}}'), "is damaged"),
    "a list": (lambda path: path.write_text("[1, 2]"), "is damaged"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged: its last line is not whole"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "is damaged"),
    "gone": (lambda path: path.unlink(), "cannot be read: No such file"),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
    "newer, of schema 1's shape": (newer, f"has schema {SCHEMA + 1}, and this Muster knows schemas up to {SCHEMA}"),
    "newer": (of_a_newer_muster, f"has schema {SCHEMA + 1}, and this Muster knows schemas up to {SCHEMA}"),
}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_no_backup_is_refused_even_by_force_and_nothing_changes(
    filled: DirectoryStore, tmp_path: Path, spoil: str, force: bool
) -> None:
    backup = back_up(filled, to=tmp_path / "backups").path
    put(filled, {"name": "n3"})
    change, sentence = SPOILS[spoil]
    change(backup)
    before = content(filled.path)
    for dry_run in (True, False):
        with pytest.raises(StoreError) as error:
            restore(filled, backup, who="ann", force=force, dry_run=dry_run)
        assert f"{backup} {sentence}" in str(error.value)
        assert "\n" not in str(error.value)
    assert content(filled.path) == before


@packing
def test_a_flipped_bit_anywhere_is_never_taken_for_a_right_state(
    filled: DirectoryStore, tmp_path: Path, packed: bool
) -> None:
    backup = back_up(filled, packed=packed).path
    good, whole = documents(filled), backup.read_bytes()
    chance, refused = random.Random(7), 0
    for _time in range(200):
        place, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        spoiled = bytearray(whole)
        spoiled[place] ^= bit
        backup.write_bytes(spoiled)
        try:
            assert documents(read_backup(backup)) == good, f"bit {bit} of byte {place}"
        except MusterError as error:
            assert "damaged" in str(error) or "schema" in str(error), f"bit {bit} of byte {place}"
            refused += 1
    assert refused > 190, "but for the few bytes of gzip's header that mean nothing"


class TestDestroyed:
    """Where snapshot, backup and journal are all garbage."""

    def test_every_command_says_so_and_changes_nothing(self, filled: DirectoryStore) -> None:
        filled = destroy(filled)
        before = content(filled.path)
        for attempt in (filled.read, lambda: put(filled, {"name": "n4"}), lambda: back_up(filled)):
            with pytest.raises(Damaged, match="holds no state that can be used") as error:
                attempt()
            assert "muster state restore --force" in error.value.hint
            assert "sync.yml" in error.value.hint
        assert content(filled.path) == before

    @packing
    def test_a_backup_brings_it_back_and_the_remains_are_kept(self, filled: DirectoryStore, packed: bool) -> None:
        backup = back_up(filled, packed=packed).path
        then = documents(filled)
        put(filled, {"name": "lost"})
        filled = destroy(filled)
        remains = {
            name: data for name, data in content(filled.path).items() if not name.startswith(("backups", "lock"))
        }
        with pytest.raises(InvalidInput, match="is at serial 3, and .* has reached serial 4"):
            restore(filled, backup, who="ann")
        assert outcome(restore(filled, backup, who="ann", force=True)) == (True, 3)
        assert documents(filled) == documents(DirectoryStore(filled.path)) == then
        assert filled.read().serial == 5, "past what was ever acknowledged"
        (aside,) = (filled.path / "damaged").iterdir()
        assert content(aside) == remains
        assert sound(filled)
        put(filled, {"name": "n3"})
        assert names(DirectoryStore(filled.path)) == ["n1", "n2", "n3"]

    def test_with_the_newest_backup_no_force_is_needed(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        filled = destroy(filled)
        assert outcome(restore(filled, backup, who="ann")) == (True, 3)
        assert names(filled) == ["n1", "n2"]

    def test_a_damaged_backup_does_not_touch_even_the_ruins(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        backup.write_bytes(backup.read_bytes()[:-9])
        filled = destroy(filled)
        before = content(filled.path)
        with pytest.raises(Damaged):
            restore(filled, backup, who="ann", force=True)
        assert content(filled.path) == before

    def test_a_rehearsal_refuses_what_would_be_refused(self, filled: DirectoryStore) -> None:
        backup = back_up(filled).path
        put(filled, {"name": "lost"})
        filled = destroy(filled)
        with pytest.raises(InvalidInput, match="is at serial 3, and .* has reached serial 4"):
            restore(filled, backup, who="ann", dry_run=True)

    def test_no_token_is_given_twice_whatever_is_restored(self, store: DirectoryStore) -> None:
        given = []

        def launch() -> None:
            with store.transaction(who="tester", why="launch") as draft:
                given.append(draft.next_epoch())
                draft.put("jobs", {"id": f"j{len(given)}", "name": "ring"})

        put(store, {"name": "n1"})
        backup = back_up(store).path
        launch()
        for ruin in (False, True):
            store = destroy(store) if ruin else store
            restore(store, backup, who="ann", force=True)
            for _time in range(3):
                launch()
        assert given == sorted(set(given))

    def test_it_works_as_often_as_it_is_needed(self, filled: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        now = time.gmtime()
        monkeypatch.setattr(time, "gmtime", lambda: now)
        backup = back_up(filled, keep=99).path
        for _time in range(2):
            filled = destroy(filled)
            assert restore(filled, backup, who="ann", force=True).changed
        assert len(list((filled.path / "damaged").iterdir())) == 2


class TestRecoveringFromBackups:
    """What readers do by themselves where `state.json` and the snapshot before are damaged."""

    @pytest.fixture
    def ruined(self, filled: DirectoryStore) -> Callable[[], DirectoryStore]:
        def ruin() -> DirectoryStore:
            for name in ("state.json", "state.json.backup"):
                (filled.path / name).write_bytes(b"garbage")
            return DirectoryStore(filled.path, tell=lambda _news: None)

        return ruin

    @packing
    def test_the_newest_good_backup_and_the_journal_since_lose_nothing(
        self, filled: DirectoryStore, ruined: Callable[[], DirectoryStore], packed: bool
    ) -> None:
        for number in range(3):
            put(filled, {"name": f"m{number}"})
            filled.compact(who="tester")
            back_up(filled, packed=packed)
        newest = backups(filled.path / "backups")[-1]
        newest.write_bytes(newest.read_bytes()[:-1])
        put(filled, {"name": "last"})
        then = holding(filled)
        min((filled.path / "journal").iterdir()).unlink()  # so that nothing can begin at the beginning
        found = ruined()
        assert holding(found) == then
        put(found, {"name": "more"})
        assert names(DirectoryStore(filled.path))[-2:] == ["last", "more"]
        assert len(list((filled.path / "damaged").iterdir())) == 2

    def test_the_next_change_mends_all_of_it(
        self, filled: DirectoryStore, ruined: Callable[[], DirectoryStore]
    ) -> None:
        filled.compact(who="tester")
        back_up(filled)
        put(ruined(), {"name": "n3"})
        assert sound(filled)

    def test_the_backup_of_another_cluster_is_no_beginning_of_this_journal(
        self, filled: DirectoryStore, other: DirectoryStore, ruined: Callable[[], DirectoryStore]
    ) -> None:
        for number in range(9):
            put(filled, {"name": f"m{number}"})
        then = documents(filled)
        back_up(other, to=filled.path / "backups")
        found = ruined()
        assert documents(found) == then
