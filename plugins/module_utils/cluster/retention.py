# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that ended long ago leave the state; history keeps them."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..model import ENDED, iso, parse
from ..store import Draft
from .nodes import load_leases

RETENTION = timedelta(days=90)
"""For how long a job that has ended stays in the state. After that history has it."""
RETENTION_ROUND = timedelta(days=1)
"""How often jobs that are past that are looked for, when a job is submitted."""


def archive(draft: Draft, before: datetime) -> list[str]:
    """Take out of the state the jobs that ended before this; the ids. History keeps them whole, from start to end."""
    held = {lease.job for lease in load_leases(draft)}
    old = [
        row["id"]
        for row in draft.all("jobs")
        if row["state"] in ENDED and row["id"] not in held and row["ended_at"] and parse(row["ended_at"]) < before
    ]
    draft.remove("jobs", old)
    return old


def retire(draft: Draft, now: datetime) -> None:
    """Archive what is past its retention, if nobody has looked for a while."""
    row = draft.get("meta", "retention")
    if row is None or parse(row["at"]) + RETENTION_ROUND < now:
        archive(draft, now - RETENTION)
        draft.put("meta", {"key": "retention", "at": iso(now)})
