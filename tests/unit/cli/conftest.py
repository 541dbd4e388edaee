# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as scripts call it, and as a process of its own; with a store of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from muster.cli import main

Done = "subprocess.CompletedProcess[str]"
Muster = Callable[..., Done]


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """The store's directory. Nothing is there yet."""
    return tmp_path / "store"


@pytest.fixture
def environment(location: Path, tmp_path: Path) -> dict[str, str]:
    """What the command finds in its environment: this store, and a home without anything."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MUSTER_", "FORCE_", "NO_COLOR"))}
    return clean | {"MUSTER_STORE": str(location), "HOME": str(tmp_path), "COLUMNS": "60", "TERM": "xterm"}


@pytest.fixture
def muster(environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Muster:
    """Runs ``muster WORDS`` in this process; what it prints goes to no terminal. Keywords are variables of its
    environment."""

    def run(*words: str, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            for key in os.environ.keys() - environment.keys():
                patch.delenv(key)
            for key, value in {**environment, **variables}.items():
                patch.setenv(key, value)
            patch.setattr(sys, "argv", ["muster", *words])
            capsys.readouterr()
            with pytest.raises(SystemExit) as end:
                main()
            shown = capsys.readouterr()
        return subprocess.CompletedProcess(words, int(end.value.code or 0), shown.out, shown.err)

    return run


@pytest.fixture
def muster_process(environment: dict[str, str]) -> Muster:
    """Runs ``python -m muster.cli WORDS``; what it prints goes to a pipe."""

    def run(*words: str, **variables: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "muster.cli", *words],
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
