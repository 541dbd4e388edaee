# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process asked the kernel for, in order: recorded by strace, so that nothing can slip past it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import mutants

ROOT = Path(__file__).resolve().parents[3]

_READING = "read,pread64,readv,preadv,preadv2"
"""The only calls that are left out of a recording: they change nothing, and their bytes would fill it."""
_CALL = re.compile(r"(?P<thread>\d+) +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+|0x[0-9a-f]+|\?)(?: .*)?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@dataclass(frozen=True)
class Call:
    """One system call that succeeded."""

    name: str
    texts: tuple[bytes, ...]
    """Its arguments that are strings or buffers."""
    words: tuple[str, ...]
    """All its arguments as strace writes them; in place of texts, nothing."""
    result: int

    def number(self, argument: int) -> int:
        """An argument that is an integer."""
        return int(self.words[argument], 0)


def record(arguments: list[object], trace: Path, mutant: str = "") -> list[Call]:
    """Run ``worker.py`` with these arguments to its end; what it asked for. Fails if it fails."""
    strace = ["strace", "--follow-forks", "-xx", "-s", "10000000", "-e", f"trace=!{_READING}", "-o", str(trace)]
    worker = [sys.executable, "-m", "tests.crash.power.worker", *map(str, arguments)]
    ended = subprocess.run([*strace, *worker], cwd=ROOT, env=environment(mutant), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return list(_calls(trace))


def environment(mutant: str = "") -> Mapping[str, str]:
    """That of a worker."""
    return {**os.environ, mutants.VARIABLE: mutant, "PYTHONDONTWRITEBYTECODE": "1"}


def _calls(trace: Path) -> Iterator[Call]:
    threads = set()
    with trace.open() as lines:
        for line in lines:
            found = _CALL.fullmatch(line.rstrip("\n"))
            if found is None:
                assert re.match(r"\d+ +(\+\+\+|---) |\d+ +exit_group", line), f"not understood: {line[:200]}"
                continue
            threads.add(found["thread"])
            assert len(threads) == 1, "with more than one thread, the order of their calls is not known"
            if found["result"] == "?" or found["result"].startswith("-"):
                continue
            assert not any(cut for _text, cut in _TEXT.findall(found["arguments"])), f"cut short: {line[:200]}"
            texts = tuple(bytes.fromhex(text.replace("\\x", "")) for text, _cut in _TEXT.findall(found["arguments"]))
            words = tuple(_TEXT.sub("", found["arguments"]).split(", "))
            yield Call(found["name"], texts, words, int(found["result"], 0))
