# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that a test starts. They are forked: one that must first start Python would mostly be killed doing that."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("fork")
PATIENCE_S = 90
"""Nothing here takes so long: who is not done by then hangs."""


class Child:
    """A process that runs ``function(*arguments)``; what it says when it fails goes to the file ``errors``."""

    def __init__(self, errors: Path, function: Callable[..., object], *arguments: Any) -> None:
        self._errors = errors
        self._process: BaseProcess = CONTEXT.Process(
            target=_run, args=(errors, function, arguments), daemon=True, name=errors.name
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, which must find it running: it may not have ended by itself."""
        self._process.kill()
        self.died()

    def died(self) -> None:
        """Wait until it is dead; of SIGKILL and nothing else."""
        self.wait()
        assert self._process.exitcode == -signal.SIGKILL, self.why()

    def done(self) -> None:
        """Wait until it has done its work."""
        self.wait()
        assert self._process.exitcode == 0, self.why()

    def wait(self) -> None:
        """Wait until it has ended, however."""
        self._process.join(PATIENCE_S)
        if self._process.exitcode is None:
            self.close()
            raise AssertionError(f"{self._process.name} hung")

    def close(self) -> None:
        """Make sure that it is gone, however it stands."""
        self._process.kill()
        self._process.join()

    def why(self) -> str:
        """How it ended, and what it said."""
        said = self._errors.read_text() if self._errors.exists() else ""
        return f"{self._process.name} ended with {self._process.exitcode}: {said or 'it said nothing'}"


def _run(errors: Path, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    gc.freeze()  # what the test has left over is the test's to collect
    with open(errors, "a", buffering=1) as file:
        sys.stderr = file
        try:
            function(*arguments)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.exit(1)
