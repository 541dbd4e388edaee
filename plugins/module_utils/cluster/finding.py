# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as the state has them: by id, or the latest of a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tinydb import where

from ..model import Job, NotFound, nearest, restored
from ..store import Tables


def find(tables: Tables, reference: str) -> Job:
    """The job with this id, or the latest of this name."""
    return _job(find_row(tables, reference))


def find_row(tables: Tables, reference: str) -> dict[str, Any]:
    """The same as the state has it; :class:`NotFound` if there is none."""
    row = tables.get("jobs", reference)
    if row is not None:
        return row
    named = tables.search("jobs", where("name") == reference)
    if not named:
        raise unknown_job(reference, tables.all("jobs"))
    return max(named, key=age)


def age(row: Mapping[str, Any]) -> tuple[str, str]:
    """By which jobs are sorted, the oldest first."""
    return row["created_at"], row["id"]


def unknown_job(reference: str, known: Iterable[Mapping[str, Any]]) -> NotFound:
    """The error for a job that the state does not have; ``known``: the documents of those that it has."""
    meant = nearest(reference, [word for job in known for word in (job["name"], job["id"])])
    return NotFound(f"there is no job {reference}", f"did you mean {meant}?" if meant else "muster jobs lists them")


def title(tables: Tables, identity: str) -> str:
    """The job with this id, as messages name it."""
    row = tables.get("jobs", identity)
    return f"{row['name']} ({identity})" if row else identity


def _job(row: Mapping[str, Any]) -> Job:
    return restored(Job, row, f"job {row['id']}")
