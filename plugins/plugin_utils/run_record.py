# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run of Ansible saw of a cluster and did to it, and what is to be put right when the run ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..module_utils.cluster import Cluster

Document = Mapping[str, Any]

REASON_SHOWN = 300
"""How many characters of an error of Ansible's connection are kept as the reason why a node is unreachable."""


class RunRecord:
    """The nodes that were contacted and the jobs that were touched, until they are written down."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.touched = False
        """Whether anything of Muster happened at all."""
        self.unreachable: dict[str, str] = {}
        """Nodes that could not be reached in this run, and why."""
        self.jobs: list[str] = []
        """Ids of the jobs that the run touched, in order."""
        self._allocated: set[str] = set()
        self._pending: dict[str, str | None] = {}

    def reached(self, name: str) -> None:
        """A task ran on this host."""
        self._pending[name] = None
        self.unreachable.pop(name, None)

    def missed(self, name: str, why: str) -> None:
        """This host could not be reached."""
        sentence = " ".join(why.removeprefix("Task failed: ").split())[:REASON_SHOWN]
        self._pending[name] = self.unreachable[name] = sentence

    def saw(self, action: str, state: str, result: Document) -> None:
        """A task of ours has ended: ``action`` without its collection, its option ``state``, and what it said."""
        self.touched = True
        if action not in ("job", "allocation", "gang"):
            return
        job = result.get("job")
        jobs = [str(one["id"]) for one in ([job] if job else result.get("jobs") or [])]
        self.jobs += [identity for identity in jobs if identity not in self.jobs]
        if (action, state) == ("allocation", "present"):
            self._allocated.update(jobs)

    def write_contacts(self) -> None:
        """Note who was reached and who was not: at most one transaction, and one write of the liveness beside it."""
        pending, self._pending = self._pending, {}
        known = self.cluster.nodes() if pending else {}
        mine = {name: why for name, why in pending.items() if name in known}
        if mine:
            self.touched = True
            self.cluster.contacted(
                [name for name, why in mine.items() if why is None],
                {name: why for name, why in mine.items() if why is not None},
            )

    def settle(self, *, orderly: bool, release_command: Callable[[str], str]) -> list[str]:
        """Release what this run allocated and did not come to start, and say what it leaves running.

        A run that ends in order may leave both on purpose: an allocation for the next playbook, or a job that nobody
        was to wait for.
        """
        if orderly or not self._allocated or self.cluster.dry_run:
            return []
        return [
            self._settled(row, release_command)
            for row in self.cluster.view().jobs
            if row["id"] in self._allocated and row["state"] in ("ALLOCATED", "STARTING", "RUNNING")
        ]

    def _settled(self, row: Document, release_command: Callable[[str], str]) -> str:
        title, nodes, state = f"{row['name']} ({row['id']})", ", ".join(row["leased"]), row["state"]
        if state == "ALLOCATED":
            self.cluster.release(row["id"], cleared=row["leased"], reason="the play ended before the job was started")
            return f"job {title} was not started: it is canceled and {nodes} released"
        return (
            f"job {title} is {state} on {nodes} and nobody waits for it any more. "
            f"To end it and release its nodes: {release_command(row['id'])}"
        )
