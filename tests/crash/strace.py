# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system calls of a transaction, and what happens if the kernel ends the process or refuses at one of them."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

from tests.crash.processes import CONTEXT, PATIENCE_S, Child

FILES = "trace=%file,%desc"
"""All that can change a file, and all that can be told of one."""
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)", re.MULTILINE)
_MEMORY = {"mmap", "munmap", "mprotect"}
_OVER = "/the transaction is over"
_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")


@dataclass(frozen=True)
class SystemCall:
    """One of those that were made: its name, which of that name it was, and what it was about."""

    name: str
    turn: int
    about: str

    def __str__(self) -> str:
        return f"{self.name} number {self.turn} ({self.about[:80]})"


def missing() -> str | None:
    """Why no process can be traced here; None if one can."""
    if not shutil.which("strace"):
        return "strace is missing: run tests/lab/install.sh"
    if os.geteuid() != 0 and _SCOPE.exists() and int(_SCOPE.read_text()) > 0:
        return "processes can be traced by root only (kernel.yama.ptrace_scope)"
    return None


def traced(
    child: Callable[[Semaphore, Semaphore], Child], trace: Path, *tampering: str
) -> tuple[Child, list[SystemCall]]:
    """The child, and the system calls that it made after it was ready and until it ended or was over.

    It is started with two semaphores, for :func:`started`, and may end what counts with :func:`over`. Where it is
    tampered with (``inject=...``), turns are counted likewise.
    """
    ready, go = CONTEXT.Semaphore(0), CONTEXT.Semaphore(0)
    traced = child(ready, go)
    try:
        assert ready.acquire(timeout=PATIENCE_S), traced.why()
        words = [word for option in (FILES, *tampering) for word in ("-e", option)]
        with subprocess.Popen(
            ["strace", "-o", str(trace), *words, "-p", str(traced.pid)], stderr=subprocess.PIPE, text=True
        ) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            assert "attached" in said, said
            go.release()
            traced.wait()
    except BaseException:
        traced.close()  # and strace ends with it
        raise
    return traced, _calls(trace.read_text())


def _calls(text: str) -> list[SystemCall]:
    turns: Counter[str] = Counter()
    found = []
    for name, about in _CALL.findall(text.partition(_OVER)[0]):
        turns[name] += 1
        if name not in _MEMORY:
            found.append(SystemCall(name, turns[name], about))
    return found[: -1 if _OVER in text else None]


def started(ready: Any, go: Any) -> None:
    """In the child: from here on its calls are counted, and they are the same each time."""
    gc.disable()  # else files of the process that forked this one might be closed meanwhile
    ready.release()
    go.acquire()


def over() -> None:
    """In the child: what follows is not counted any more."""
    os.path.exists(_OVER)
