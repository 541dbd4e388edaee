# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores that break one promise of durability each, to see that the power-loss tests notice.

A mutant lives in the process that calls :func:`become`, and only there: the store itself knows nothing of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping

VARIABLE = "MUSTER_CRASH_MUTANT"
"""The environment variable by which a test chooses the mutant that its worker becomes."""


def _flushing_nothing_but(flushed: Callable[[int], bool]) -> None:
    """From now on a flush of anything else does nothing, and says that all went well."""
    fsync, fdatasync = os.fsync, os.fdatasync

    def sync(handle: int) -> None:
        if flushed(handle):
            fsync(handle)

    def data_sync(handle: int) -> None:
        if flushed(handle):
            fdatasync(handle)

    os.fsync, os.fdatasync = sync, data_sync  # type: ignore[assignment]


def no_fsync() -> None:
    """Files are never flushed; directories are."""
    _flushing_nothing_but(_is_directory)


def unsynced_snapshot() -> None:
    """A snapshot is put in place while its content may not be on disk."""
    _flushing_nothing_but(lambda handle: not os.readlink(f"/proc/self/fd/{handle}").endswith("/.state.json.new"))


def no_directory_fsync() -> None:
    """Names are never flushed: of new files, of a snapshot that is put in place, of what is kept aside."""
    _flushing_nothing_but(lambda handle: not _is_directory(handle))


MUTANTS: Mapping[str, Callable[[], None]] = {
    mutant.__name__: mutant for mutant in (no_fsync, unsynced_snapshot, no_directory_fsync)
}


def become() -> None:
    """Become the mutant that the environment names, if it names one."""
    if name := os.environ.get(VARIABLE):
        MUTANTS[name]()


def _is_directory(handle: int) -> bool:
    return stat.S_ISDIR(os.fstat(handle).st_mode)
