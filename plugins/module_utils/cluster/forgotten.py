# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore lets go of: jobs that hold nodes, and of which the backup knows nothing."""

from __future__ import annotations

from ..store import Restored


def forgotten(done: Restored, *, dry_run: bool = False) -> list[str]:
    """A sentence for each job that loses its leases without having ended: what it held, and how to end it."""
    if done.before is None or not done.changed:
        return []
    kept = {row["id"] for row in done.after.all("leases")}
    nodes: dict[str, list[str]] = {}
    for lease in done.before.all("leases"):
        if lease["id"] not in kept:
            nodes.setdefault(lease["job"], []).append(lease["node"])
    return [_sentence(done, job, ", ".join(held), dry_run) for job, held in nodes.items()]


def _sentence(done: Restored, job: str, held: str, dry_run: bool) -> str:
    row = (done.before and done.before.get("jobs", job)) or {"name": "job"}
    if dry_run:
        end_it = f"release.yml -e muster_release={job}"
        return f"{row['name']} ({job}) holds {held}, and the backup knows nothing of it: end it first ({end_it})"
    return (
        f"{row['name']} ({job}) held {held}, and the state knows nothing of it any more: recover.yml ends what still "
        f"runs of it, unless {done.replaced} is restored before"
    )
