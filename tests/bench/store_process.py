# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process of the benchmark's own, to which lines are said and which answers with lines of JSON."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Any

from .timing import ROOT, BenchError


class Talker:
    """``python -m MODULE WORDS...``, which ends when nobody says anything any more."""

    def __init__(self, module: str, *words: object) -> None:
        self._command = [sys.executable, "-m", module, *map(str, words)]

    def __enter__(self) -> Talker:
        environment = {name: value for name, value in os.environ.items() if name != "MUSTER_STORE"}
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if kind:
            self._process.kill()
        self._process.communicate()

    def say(self, line: str) -> None:
        """Tell it; whether it is still there, its answer says."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            print(line, file=self._process.stdin, flush=True)

    def hear(self) -> Any:
        """Its next answer. Raises BenchError if it has ended."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"{' '.join(self._command[1:])} ended with exit code {self._process.wait()}")
        return json.loads(line)

    def ask(self, **command: object) -> Any:
        self.say(json.dumps(command))
        return self.hear()
