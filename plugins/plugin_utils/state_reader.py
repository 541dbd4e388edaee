# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the state from templates, which Ansible evaluates again at each use: once a change, and without locks."""

from __future__ import annotations

from pathlib import Path

from ansible.utils.display import Display

from ..module_utils.cluster import Cluster, View, open_cluster
from ..module_utils.store import open_store

Mark = tuple[str, int, int]
"""Lineage and serial of the state, and the mark of the contacts beside it."""

_kept: dict[Path, tuple[Cluster, Mark, View]] = {}


def current_view(location: str | None) -> View:
    """The view of that store: the object of the last call while nothing has changed there. Do not change it."""
    path = open_store(location).path
    cluster, known, view = _kept.get(path, (None, None, None))
    if cluster is None:
        cluster = open_cluster(str(path), actor="reader", tell=Display().warning)
    fresh = cluster.view()
    mark = (fresh.lineage, fresh.serial, cluster.store.contact_mark())
    if view is None or mark != known:
        _kept[path] = (cluster, mark, view := fresh)
    return view
