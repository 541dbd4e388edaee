# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C, or the alarm of a task's timeout, at any line of the store: nothing that is acknowledged afterwards is lost,
and nobody keeps the lock."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import muster.store
import pytest
from muster.model import StoreError
from muster.store import DirectoryStore
from muster.store.lock import exclusive

from .disk import names, put, sound

HERE = str(Path(muster.store.__file__).parent)


class Interrupted(BaseException):
    """As Ctrl-C, but nobody else's."""


def interrupted(work: Callable[[], object], line: int) -> bool:
    """Run ``work`` up to so many lines of the store's code; whether it got so far."""
    run = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal run
        if not frame.f_code.co_filename.startswith(HERE) or frame.f_code.co_name == "__del__":
            return None  # whatever is raised there is printed and forgotten
        run += event == "line"
        if run == line:
            sys.settrace(None)
            raise Interrupted
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Interrupted:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize(("compact_bytes", "step"), [(1 << 18, 1), (0, 3)], ids=["appended", "folded"])
def test_at_any_line_of_a_transaction(filled: DirectoryStore, tmp_path: Path, compact_bytes: int, step: int) -> None:
    filled.compact(who="tester")
    put(filled, {"name": "n2", "size": 7})
    line, far = 0, True
    while far:
        line += step
        place = tmp_path / str(line)
        shutil.copytree(filled.path, place)
        store = DirectoryStore(place, compact_bytes=compact_bytes, lock_timeout_s=0.1, tell=lambda _news: None)
        held = store.read() if line % 2 else None
        far = interrupted(lambda store=store: put(store, {"name": "new"}), line)  # type: ignore[misc]
        there = names(DirectoryStore(place))
        assert there in (["n1", "n2"], ["n1", "n2", "new"])
        for after in (store, DirectoryStore(place, lock_timeout_s=0.1)):
            put(after, {"name": f"later{len(there)}"})
            there.append(f"later{len(there)}")
            assert names(store) == names(DirectoryStore(place)) == there, f"after line {line}"
        assert sound(store)
        assert held is None or names(held) == ["n1", "n2"]
        shutil.rmtree(place)
    assert line > 200, "too few lines to prove anything"


def test_at_any_line_of_reading_what_others_wrote(filled: DirectoryStore, tmp_path: Path) -> None:
    line, far = 0, True
    while far:
        line += 1
        place = tmp_path / str(line)
        shutil.copytree(filled.path, place)
        reader = DirectoryStore(place)
        reader.read()
        put(DirectoryStore(place), {"name": "n1", "size": line}, {"name": "new"})
        far = interrupted(lambda reader=reader: reader.read().all("nodes"), line)  # type: ignore[misc]
        fresh = DirectoryStore(place).read()
        assert reader.read().all("nodes") == fresh.all("nodes")
        assert reader.read().count("nodes") == fresh.count("nodes") == 3
        shutil.rmtree(place)
    assert line > 100, "too few lines to prove anything"


def test_who_gave_up_waiting_does_not_leave_the_lock_to_a_process_forked_meanwhile(tmp_path: Path) -> None:
    """The child shares the open file of the one who waits: to close it is not to give it up."""
    lock, waiting = tmp_path / "lock", threading.Event()

    def wait() -> None:
        waiting.set()
        with pytest.raises(StoreError, match="is locked by"), exclusive(lock, timeout_s=0.5):
            pass

    with exclusive(lock, timeout_s=1):
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        while not any(one.name == "muster-lock" for one in threading.enumerate()):
            pass
        child = os.fork()
        if child == 0:
            threading.Event().wait(30)  # for nothing: it is killed
            os._exit(0)
        thread.join()
    try:
        with exclusive(lock, timeout_s=2):
            pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
