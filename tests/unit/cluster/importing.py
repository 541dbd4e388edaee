# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of other tools to import, and a view of everything that came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from muster.cluster import Cluster
from muster.store import DirectoryStore

from tests.unit.samples import Clock

FILES = Path(__file__).parent / "imports"
UGRO, AI_HOW, AI_HOW_2, EXPERIMENTS = (
    FILES / name for name in ("ugro.json", "ai_how.json", "ai_how_2.json", "experiments.json")
)
KIND = {UGRO: "ugro", AI_HOW: "ai-how", AI_HOW_2: "ai-how", EXPERIMENTS: "experiments"}


def cluster_at(place: Path, clock: Clock | None = None, *, dry_run: bool = False) -> Cluster:
    """Alice's cluster in this directory, at noon."""
    return Cluster(DirectoryStore(place), actor="alice", clock=clock or Clock(), dry_run=dry_run)


def content(path: Path) -> Any:
    """What is in a JSON file, to be changed."""
    return json.loads(path.read_text(encoding="utf-8"))


def everything(cluster: Cluster) -> dict[str, dict[int, Any]]:
    """All documents of all tables that have any, by number."""
    tables = cluster.store.read()
    return {name: dict(tables.items(name)) for name in tables.names() if tables.count(name)}


def documents(cluster: Cluster, table: str, name: str = "name") -> dict[str, Any]:
    """The documents of a table by this field of theirs."""
    return {document[name]: document for document in cluster.store.read().all(table)}


def said(cluster: Cluster, kind: str, name: str) -> Any:
    """What an imported file said of a node or a job."""
    (found,) = (
        document["fields"]
        for document in cluster.store.read().all("imported")
        if (document["kind"], document["name"]) == (kind, name)
    )
    return found
