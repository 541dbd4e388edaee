# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are gone or not what they were: what is left is used, what is lost is said, nothing is thrown away."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from muster.model import Damaged
from muster.store import DirectoryStore, back_up
from tinydb import TinyDB

from tests.unit.store.disk import content, holding, names, put, sound


@pytest.fixture
def store(tmp_path: Path, told: list[str]) -> DirectoryStore:
    """A store that has folded its journal several times, and has a backup and packed history."""
    found = DirectoryStore(tmp_path / "store", compact_bytes=1500, tell=told.append)
    for number in range(40):
        with found.transaction(who="ann", why=f"change {number}") as draft:
            draft.put("nodes", {"name": f"n{number % 7}", "turn": number})
            draft.next_epoch()
    while not found.pending():
        put(found, {"name": "n0", "turn": found.read().serial})
    assert (found.path / "state.json.backup").exists()
    assert list((found.path / "journal").glob("*.gz"))
    return found


def active(store: DirectoryStore) -> Path:
    return max((store.path / "journal").glob("*.jsonl"))


def opened(store: DirectoryStore, told: list[str]) -> DirectoryStore:
    """The same store for somebody who has read nothing yet."""
    return DirectoryStore(store.path, tell=told.append)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "zeroed": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    "no JSON": lambda path: path.write_bytes(b"\xff\xfe{"),
    "deep": lambda path: path.write_bytes(b"[" * 200_000),
    "other JSON": lambda path: path.write_text('{"nodes": {"1": {"name": "n1"}}}'),
    "edited": lambda path: path.write_text(path.read_text().replace('"turn"', '"torn"')),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_good_snapshot_the_one_before_and_the_journal_give_all_of_it(
    store: DirectoryStore, told: list[str], damage: str
) -> None:
    before, serial, epoch = holding(store), store.read().serial, store.read().epoch
    DAMAGES[damage](store.path / "state.json")
    files = content(store.path)
    reader = opened(store, told)
    assert (holding(reader), reader.read().serial) == (before, serial)
    assert "state.json is " in told[0]
    assert told[0].endswith("; nothing was lost, and the next change mends it")
    assert content(store.path) == files, "a reader mends nothing"
    put(opened(store, told), {"name": "new"})
    assert (store.read().serial, store.read().epoch) == (serial + 1, epoch)
    again: list[str] = []
    assert names(opened(store, again)) == [*(row["name"] for row in before["nodes"].values()), "new"]
    assert again == []
    assert sound(store)
    if damage != "missing":
        (aside,) = (store.path / "damaged").iterdir()
        assert aside.read_bytes() == files["state.json"]
        assert f"the damaged files are kept in {store.path}/damaged" in told


def test_without_both_snapshots_the_journal_from_its_beginning_gives_all_of_it(
    store: DirectoryStore, told: list[str]
) -> None:
    before = holding(store)
    for name in ("state.json", "state.json.backup"):
        (store.path / name).unlink()
    reader = opened(store, told)
    assert (holding(reader), reader.read().lineage) == (before, store.read().lineage)
    put(opened(store, told), {"name": "new"})
    assert sound(store)
    assert [record["serial"] for record in store.history()] == list(range(1, store.read().serial + 1))


def test_without_both_snapshots_and_with_old_history_gone_a_backup_gives_all_of_it(
    store: DirectoryStore, told: list[str]
) -> None:
    saved = back_up(store)
    for number in range(30):
        put(store, {"name": "late", "turn": number})
    before = holding(store)
    for name in ("state.json", "state.json.backup", "journal/00000000000000000000.jsonl.gz"):
        (store.path / name).unlink()
    assert saved.path.parent == store.path / "backups"
    assert holding(opened(store, told)) == before
    put(opened(store, told), {"name": "new"})
    assert sound(store)


@pytest.mark.parametrize("damage", ["missing", "cut", "zeroed"])
def test_where_nothing_can_be_used_one_error_says_how_to_go_on_and_nothing_is_changed(
    store: DirectoryStore, told: list[str], damage: str
) -> None:
    for name in ("state.json", "state.json.backup", "journal/00000000000000000000.jsonl.gz"):
        DAMAGES[damage](store.path / name)
    before = content(store.path)
    fresh = opened(store, told)
    for attempt in (fresh.read, lambda: put(fresh, {"name": "n1"}), lambda: fresh.rehearsal().__enter__()):
        with pytest.raises(Damaged) as error:
            attempt()
        assert f"{store.path} holds no state that can be used: {store.path}/state.json is " in error.value.message
        assert "sync.yml" in error.value.hint
        assert "muster state restore" in error.value.hint
        assert "\n" not in str(error.value)
    assert content(store.path) == before


def test_a_store_that_has_lost_all_but_its_lock_is_not_taken_for_a_new_one(
    store: DirectoryStore, told: list[str]
) -> None:
    for name in ("state.json", "state.json.backup"):
        (store.path / name).unlink()
    shutil.rmtree(store.path / "journal")
    before = content(store.path)
    for attempt in (opened(store, told).read, lambda: put(opened(store, told), {"name": "n1"})):
        with pytest.raises(Damaged, match="holds no state that can be used: the files are gone"):
            attempt()
    assert content(store.path) == before


@pytest.mark.parametrize("which", ["the last segment", "all segments"])
def test_a_journal_that_was_deleted_is_noticed(store: DirectoryStore, told: list[str], which: str) -> None:
    serial, after = store.read().serial, int(active(store).name.split(".")[0])
    active(store).unlink()
    if which == "all segments":
        shutil.rmtree(store.path / "journal")
    tables = opened(store, told).read()
    assert tables.serial == after < serial
    lost = serial - after
    serials = f"serial {after + 1} to {serial}" if lost > 1 else f"serial {serial}"
    assert f"is lost, {lost} transaction{'' if lost == 1 else 's'} at most ({serials})" in told[0]
    put(opened(store, told), {"name": "new"})
    assert opened(store, told).read().serial == serial + 2, "one says what was lost, and no serial is given twice"
    assert sound(store)


def test_what_was_lost_is_written_down_and_the_epoch_leaps_over_all_that_may_have_been_given(
    store: DirectoryStore, told: list[str]
) -> None:
    serial, epoch = store.read().serial, store.read().epoch
    lines = active(store).read_bytes().rstrip(b"\0").splitlines(keepends=True)
    active(store).write_bytes(b"".join(lines[:-1]) + lines[-1].replace(b'"turn"', b'"torn"'))
    put(opened(store, told), {"name": "new"})
    *_, recovered, last = store.history()
    assert (recovered["serial"], recovered["lost"], last["serial"]) == (serial + 1, 1, serial + 2)
    assert recovered["why"].startswith("recovered: ")
    assert f"what was changed after {list(store.history())[-3]['at']} is lost" in recovered["why"]
    assert opened(store, told).read().epoch > epoch + 999
    assert sound(store)
    assert told != []


def test_a_reader_that_was_there_before_sees_what_is_written_after_the_damage_was_mended(
    store: DirectoryStore, told: list[str]
) -> None:
    reader = opened(store, told)
    assert reader.read().serial == store.read().serial
    size = len(active(store).read_bytes().rstrip(b"\0"))
    with open(active(store), "r+b") as file:
        file.seek(size - 20)
        file.write(b"#")
    writer = opened(store, told)
    put(writer, {"name": "new"})
    assert holding(reader) == holding(writer)
    put(store, {"name": "newer"})
    assert holding(reader) == holding(writer) == holding(store)


@pytest.mark.parametrize("read", [True, False], ids=["having read it", "having only written it"])
def test_a_writer_that_was_there_before_does_not_write_into_a_journal_that_is_gone(
    store: DirectoryStore, told: list[str], read: bool
) -> None:
    writer = opened(store, told)
    writer.compact(who="tester")
    put(writer, {"name": "first"})
    serial = store.read().serial
    if read:
        assert names(writer)[-1] == "first"
    active(store).unlink()
    put(writer, {"name": "new"})
    assert "new" in names(opened(store, told))
    assert opened(store, told).read().serial > serial


def test_what_was_damaged_is_kept_aside_each_time(store: DirectoryStore, told: list[str]) -> None:
    kept = []
    for number in range(3):
        (store.path / "state.json").write_text(f"damage {number}")
        kept.append(f"damage {number}")
        put(opened(store, told), {"name": "new", "turn": number})
    assert sorted(path.read_text() for path in (store.path / "damaged").iterdir()) == kept


def test_a_state_that_stock_tinydb_has_written_into_is_not_trusted_and_kept_aside(
    store: DirectoryStore, told: list[str]
) -> None:
    """Its checksums are not those of what is in it any more; the right way is `muster.store.Database`."""
    before = holding(store)
    with TinyDB(store.path / "state.json") as database:
        database.table("nodes").insert({"name": "smuggled"})
    assert holding(opened(store, told)) == before
    assert "state.json is damaged" in told[0]
    put(opened(store, told), {"name": "new"})
    (aside,) = (store.path / "damaged").iterdir()
    assert "smuggled" in aside.read_text()


def test_the_same_damage_is_told_once_by_one_reader_and_again_by_the_next(store: DirectoryStore) -> None:
    (store.path / "state.json").write_bytes(b"{")
    for _reader in range(2):
        told: list[str] = []
        reader = opened(store, told)
        for _time in range(3):
            reader.read()
        assert len(told) == 1


def test_a_reader_sees_damage_through_while_somebody_holds_the_lock(store: DirectoryStore, told: list[str]) -> None:
    before = holding(store)
    with store.transaction(who="ann", why="long") as draft:
        draft.put("nodes", {"name": "new"})
        (store.path / "state.json").write_bytes(b"{")
        assert holding(opened(store, told)) == before
    assert names(opened(store, told))[-1] == "new"


def test_a_removed_directory_is_a_new_store(store: DirectoryStore, told: list[str]) -> None:
    lineage = store.read().lineage
    shutil.rmtree(store.path)
    assert names(store) == []
    put(store, {"name": "n1"})
    assert (names(store), store.read().serial, told) == (["n1"], 1, [])
    assert store.read().lineage != lineage


def test_a_writer_whose_directory_was_removed_begins_a_new_store(store: DirectoryStore, told: list[str]) -> None:
    put(store, {"name": "n0", "turn": "last"})
    shutil.rmtree(store.path)
    put(store, {"name": "new"})
    assert names(store) == names(opened(store, told)) == ["new"]


def test_a_number_that_damage_made_larger_does_not_make_the_loss_larger(store: DirectoryStore, told: list[str]) -> None:
    reached = store.read().serial
    segment = active(store)
    *kept, last = segment.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    segment.write_bytes(b"".join([*kept, last.replace(b'{"serial":%d,' % reached, b'{"serial":9%d,' % reached)]))
    assert opened(store, told).read().serial == reached - 1
    (loss,) = [news for news in told if "is lost" in news]
    assert f"1 transaction at most (serial {reached}); " in loss


def test_history_passes_over_what_is_damaged(store: DirectoryStore) -> None:
    packed = min((store.path / "journal").glob("*.gz"))
    with open(packed, "r+b") as file:
        file.seek(packed.stat().st_size // 2)
        file.write(b"\xff\xff\xff")
    serials = [record["serial"] for record in store.history()]
    assert serials == list(range(serials[0], store.read().serial + 1))
    assert serials[0] > 1


def test_a_journal_of_another_cluster_is_not_followed(store: DirectoryStore, told: list[str], tmp_path: Path) -> None:
    after = int(active(store).name.split(".")[0])
    other = DirectoryStore(tmp_path / "other")
    for number in range(after):
        put(other, {"name": "foreign", "turn": number})
    other.compact(who="tester")
    put(other, {"name": "foreign", "turn": after})
    assert active(other).name == active(store).name
    shutil.copy(active(other), active(store))
    tables = opened(store, told).read()
    assert tables.serial == after
    assert "foreign" not in names(tables)
    assert "is lost" in told[0]
