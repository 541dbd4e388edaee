# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the state from templates, which Ansible evaluates again at each use: once a change, and without locks."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..module_utils.cluster import View, open_cluster
from ..module_utils.store import DirectoryStore

Mark = frozenset[tuple[str, int, int, int]]
"""The files of a store: name, inode, size, time of the last change in ns. Any transaction changes it."""

SETTLED_NS = 1_000_000_000
"""Two writes within a step of a file system's clock (some take a second) look alike: a younger mark proves nothing."""

_kept: dict[Path, tuple[Mark, View]] = {}


def current_view(location: str | None) -> View:
    """The view of that store: the object of the last call while nothing has changed there. Do not change it."""
    cluster = open_cluster(location, actor="reader")
    if not isinstance(cluster.store, DirectoryStore):
        return cluster.view()
    path = cluster.store.path
    mark = _mark(path)
    known, view = _kept.get(path, (None, None))
    if view is not None and known == mark:
        return view
    view = cluster.view()
    if all(changed < time.time_ns() - SETTLED_NS for *_which, changed in mark):
        _kept[path] = (mark, view)
    return view


def _mark(directory: Path) -> Mark:
    try:
        with os.scandir(directory) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):  # not made yet, or a file was replaced meanwhile
        return frozenset()
    return frozenset((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found)
