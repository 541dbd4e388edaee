# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease: these GPUs or slots, and these ports, of a node belong to this attempt of a job until this time."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Lease(BaseModel):
    """The only truth about who uses what.

    ``gpus``: uuids; ``slots``: indices from 0; ``port``: the rendezvous port, and ``link_port``: where the supervisors
    of several nodes keep in touch, both on the node of rank 0 only;
    ``until``: when an attempt that has not started loses it, None once it has.
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    job: str
    attempt: int
    epoch: int
    node: str
    gpus: list[str] = []
    slots: list[int] = []
    port: int | None = None
    link_port: int | None = None
    granted_at: str
    until: str | None = None

    @property
    def ports(self) -> list[int]:
        """All ports of the node that are leased."""
        return [port for port in (self.port, self.link_port) if port is not None]


def lease_id(job: str, attempt: int, node: str) -> str:
    """The name of the lease that ``attempt`` of ``job`` holds on ``node``."""
    return f"{job}.{attempt}.{node}"


def lease_parts(identity: str) -> tuple[str, str]:
    """The job and the node of the lease with this name."""
    job, _attempt, node = identity.split(".", 2)
    return job, node
