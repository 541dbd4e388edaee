# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending jobs from the command line, as release.yml does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..cluster import Cluster
from ..gang import release_gang, to_be_released
from ..model import ENDED, Job, natural
from .reach import reaching

Document = dict[str, Any]


def cancel(
    cluster: Cluster, references: Sequence[str], reason: str, say: Callable[[str], None]
) -> Iterator[tuple[Document, bool]]:
    """End these jobs (``all``: every one that is not over) and give their nodes back, one after the other.

    Gives for each its id, name, state, reason, ``doubtful`` (node -> why it could not say that nothing is left), and
    whether there was anything to do. Raises :class:`NotFound`, before anything is done, for a job that is not there.
    """
    todo = to_be_released(cluster, references)
    over = [] if list(references) == ["all"] else [cluster.job(reference) for reference in references]
    for job in over:
        if job.id not in {one.id for one in todo}:
            yield _told(job, {}), False
    with reaching(cluster.view().nodes) as dial:
        for job in todo:
            nodes = sorted({lease.node for lease in cluster.leases(job.id)}, key=natural)
            if nodes:
                doing = "asking what is left of" if job.state in ENDED else "ending"
                say(f"{doing} {job.name} ({job.id}) on {', '.join(nodes)} ...")
            yield _told(*release_gang(cluster, dial, job, reason)), True


def sentence(told: Document, changed: bool) -> str:
    """One line for a person."""
    line = f"{told['name']} ({told['id']}) is {told['state']}"
    if not changed:
        return f"{line} already: nothing to do"
    if told["doubtful"]:
        why = "; ".join(f"{node}: {reason}" for node, reason in told["doubtful"].items())
        return f"{line}, but these nodes cannot say that nothing is left: they keep their lease and are drained: {why}"
    return f"{line}, and nothing of it is left"


def _told(job: Job, doubtful: dict[str, str]) -> Document:
    return {"id": job.id, "name": job.name, "state": job.state, "reason": job.reason, "doubtful": doubtful}
