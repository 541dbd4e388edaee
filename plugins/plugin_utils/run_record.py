# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run of Ansible saw of a cluster and did to it, and what is to be put right when the run ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..module_utils.cluster import Cluster
from ..module_utils.model import iso, utc_now

Document = Mapping[str, Any]

REASON_SHOWN = 300
"""How many characters of an error of Ansible's connection are kept as the reason why a node is unreachable."""


NO_EPOCH = 0
"""Of a job that is past its allocation, which is not to be taken back."""


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
        self._mine: dict[str, int] = {}
        self._reached: dict[str, str] = {}
        self._missed: dict[str, str] = {}

    def reached(self, name: str) -> None:
        """A task ran on this host."""
        self._reached[name] = iso(utc_now())
        self._missed.pop(name, None)
        self.unreachable.pop(name, None)

    def missed(self, name: str, why: str) -> None:
        """This host could not be reached."""
        sentence = " ".join(why.removeprefix("Task failed: ").split())[:REASON_SHOWN]
        self._missed[name] = self.unreachable[name] = sentence
        self._reached.pop(name, None)

    def saw(self, action: str, state: str, result: Document) -> None:
        """A task of ours has ended: ``action`` without its collection, its option ``state``, and what it said."""
        self.touched = True
        if action not in ("job", "allocation", "gang"):
            return
        job = result.get("job")
        jobs = [str(one["id"]) for one in ([job] if job else result.get("jobs") or [])]
        self.jobs += [identity for identity in jobs if identity not in self.jobs]
        if (action, state) in (("allocation", "present"), ("gang", "started")) and job:
            self._mine[str(job["id"])] = int(result.get("epoch", NO_EPOCH))

    def write_contacts(self) -> None:
        """Note who was reached and who was not: at most one transaction, and one write of the liveness beside it."""
        reached, self._reached = self._reached, {}
        missed, self._missed = self._missed, {}
        known = self.cluster.nodes() if reached or missed else {}
        if known.keys() & (reached.keys() | missed.keys()):
            self.touched = True
            self.cluster.contacted(reached, missed)

    def settle(self, *, orderly: bool, release_command: Callable[[str], str]) -> list[str]:
        """Release what this run allocated and did not come to start, and say what it leaves running.

        A run that ends in order may leave both on purpose: an allocation for the next playbook, or a job that nobody
        was to wait for.
        """
        if orderly or not self._mine or self.cluster.dry_run:
            return []
        said = []
        for row in self.cluster.view().jobs:
            title, nodes, state = f"{row['name']} ({row['id']})", ", ".join(row["leased"]), row["state"]
            if row["id"] in self._mine and state == "ALLOCATED":
                reason = "the play ended before the job was started"
                state = self.cluster.cancel(row["id"], reason=reason, epoch=self._mine[row["id"]]).state
                if state == "CANCELED":
                    said.append(f"job {title} was not started: it is canceled and {nodes} released")
            ran = any(attempt["started_at"] for attempt in row["attempts"])
            if row["id"] in self._mine and state in ("QUEUED", "ALLOCATED") and ran:
                said.append(
                    f"job {title} was to be started again, and nobody waits for that any more: recover.yml does it. "
                    f"To let go of it: {release_command(row['id'])}"
                )
            if row["id"] in self._mine and state in ("STARTING", "RUNNING"):
                said.append(
                    f"job {title} is {state} on {nodes} and nobody waits for it any more. "
                    f"To end it and release its nodes: {release_command(row['id'])}"
                )
        return said
