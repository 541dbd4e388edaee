# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store's promise that power loss takes nothing that was acknowledged, against the model of ``disk.py``."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from muster.store import back_up

from tests.crash.mutants import MUTANTS
from tests.crash.power.disk import Disk
from tests.crash.power.judge import Found
from tests.crash.power.recording import record
from tests.crash.power.replay import Check, Replay
from tests.crash.worker import NEVER, TINY, Clerk
from tests.needs import need

CLERK = "clerk"
MIXTURES = max(10, int(os.environ.get("MUSTER_CRASH_ROUNDS", "0")) // 20)
"""How many states are left to chance, after each call."""


@pytest.fixture(autouse=True)
def strace() -> None:
    """The tool, and that it may be used."""
    need(None if shutil.which("strace") else "strace is not installed")
    allowed = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode == 0
    need(None if allowed else "strace may not trace here")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where states are made to be judged, by the thousand: in memory, where that can be had."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Path(directory) / "left"


def recorded(
    directory: Path, *, transactions: int, acknowledged: int = -1, backup: str | Path = "", mutant: str = ""
) -> Replay:
    """A worker that restores the backup, if any, and makes so many transactions in ``directory``/disk/store."""
    root = directory / "disk"
    root.mkdir(exist_ok=True)
    before = Disk.of(root)
    calls = record([root / "store", CLERK, 1, transactions, backup], directory / "trace", mutant)
    return Replay(calls, root, before, acknowledged)


def stands(replay: Replay, scratch: Path, check: Check, *, at_least: int) -> None:
    """No state is broken; fails as well if so few were judged that it would say little."""
    broken = list(itertools.islice(replay.broken(scratch, check, mixtures=MIXTURES), 3))
    print(f"{replay.judged} distinct states were judged")
    assert not broken, "\n".join(map(str, broken))
    assert replay.judged >= at_least


def in_order(found: Found, acknowledged: int) -> None:
    """What was acknowledged is there, and at most the transaction that was under way."""
    found.check({CLERK: acknowledged}, {CLERK: acknowledged + 1})


def in_silence(found: Found, acknowledged: int) -> None:
    """Nor does a person hear anything, as nothing is lost."""
    in_order(found, acknowledged)
    assert not found.news, found.news


def without_loss(found: Found, acknowledged: int) -> None:
    """What is damaged may be spoken of, but nothing was lost by it."""
    in_order(found, acknowledged)
    assert not found.lost, found.news


def with_loss(found: Found, acknowledged: int) -> None:
    """The loss is told, or stands in the history: it is never forgotten."""
    in_order(found, acknowledged)
    assert found.lost, found.news


def test_whatever_a_power_failure_leaves_nothing_acknowledged_is_lost(tmp_path: Path, scratch: Path) -> None:
    stands(recorded(tmp_path, transactions=20), scratch, in_silence, at_least=1000)


def torn_end(store: Path) -> None:
    """What a power failure leaves of a transaction and of a compaction that were not done."""
    segment = max((store / "journal").glob("*.jsonl"))
    with segment.open("r+b") as journal:
        journal.seek(len(segment.read_bytes().rstrip(b"\0")))
        journal.write(b'{"serial":9,"at"' + bytes(500))
    for name in (".state.json.new", ".state.json.backup.new", "journal/.00000000000000000000.jsonl.gz.new"):
        (store / name).write_bytes(b'{"nodes": {')


def damaged_snapshot(store: Path) -> None:
    """A bit of the newest snapshot is wrong; the one before, and the journal, are good."""
    flip(store / "state.json")


def damaged_journal(store: Path) -> None:
    """A bit in the middle of the journal is wrong: what comes after it is lost."""
    flip(store / "journal" / f"{0:020d}.jsonl")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content.rstrip(b"\0")) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "compact_bytes", "check"),
    [(torn_end, TINY, in_silence), (damaged_snapshot, TINY, without_loss), (damaged_journal, NEVER, with_loss)],
)
def test_nothing_more_is_lost_when_the_power_fails_while_the_store_is_mended(
    tmp_path: Path, scratch: Path, damage: Callable[[Path], None], compact_bytes: int, check: Check
) -> None:
    clerk = Clerk(tmp_path / "disk" / "store", CLERK, compact_bytes=compact_bytes)
    for _time in range(9):
        clerk.act()
    assert clerk.store.pending()
    damage(clerk.store.path)
    readable = Clerk(clerk.store.path, CLERK, tell=lambda _news: None).counted()
    stands(recorded(tmp_path, transactions=6, acknowledged=readable), scratch, check, at_least=300)


def test_a_restore_is_there_wholly_or_not_at_all_after_a_power_failure(tmp_path: Path, scratch: Path) -> None:
    clerk = Clerk(tmp_path / "disk" / "store", CLERK, compact_bytes=TINY)
    for _time in range(4):
        clerk.act()
    backup, then = back_up(clerk.store, to=tmp_path / "backups").path, clerk.counted()
    for _time in range(5):
        clerk.act()
    before = clerk.counted()

    def either(found: Found, acknowledged: int) -> None:
        count = (found.counts or {})[CLERK]
        assert count == then or (count == before == acknowledged), f"{count} is neither {then} nor {before}"
        assert not found.news, found.news

    replay = recorded(tmp_path, transactions=0, acknowledged=before, backup=backup)
    stands(replay, scratch, either, at_least=100)


def test_a_restore_over_what_is_lost_is_there_wholly_or_the_loss_is_still_said(tmp_path: Path, scratch: Path) -> None:
    clerk = Clerk(tmp_path / "disk" / "store", CLERK, compact_bytes=TINY)
    for _time in range(6):
        clerk.act()
    backup, then = back_up(clerk.store, to=tmp_path / "backups").path, clerk.counted()
    (clerk.store.path / "state.json").write_bytes(b"rubbish")
    (clerk.store.path / "state.json.backup").unlink()
    shutil.rmtree(clerk.store.path / "journal")

    def restored_or_said(found: Found, acknowledged: int) -> None:
        if found.counts is None:
            assert found.lost and acknowledged < 0, f"an empty state, after the restore of {acknowledged}"
        else:
            assert found.counts[CLERK] == then

    replay = recorded(tmp_path, transactions=0, backup=backup)
    stands(replay, scratch, restored_or_said, at_least=50)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_store_that_leaves_out_flushes_is_found_out(tmp_path: Path, scratch: Path, mutant: str) -> None:
    replay = recorded(tmp_path, transactions=8, mutant=mutant)
    broken = replay.broken(scratch, in_silence, mixtures=0)
    worst = next((state for state in broken if state.acknowledged > 0), None)
    print(f"after {replay.judged} states: {worst}")
    assert worst is not None
