# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small disk that one process sees, and that is gone with it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

_NEW_MOUNTS = 0x00020000
"""CLONE_NEWNS of unshare(2): the process gets mounts of its own."""


def missing() -> str | None:
    """Why nothing can be mounted here; None if it can."""
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    absent = [tool for tool in ("mount", "unshare") if not shutil.which(tool)]
    if absent:
        return f"a small disk needs {' and '.join(absent)}"
    refused = subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode
    return "nothing can be mounted in this container" if refused else None


def small_disk(path: Path, size: str) -> None:
    """Give this process, and nobody else, a disk of this size at ``path``."""
    path.mkdir()
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("--make-rprivate", "/")
    _mount("-t", "tmpfs", "-o", f"size={size},mode=700", "small", str(path))


def make_read_only(path: Path, read_only: bool = True) -> None:
    """Remount the disk."""
    _mount("-o", f"remount,{'ro' if read_only else 'rw'}", str(path))


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
