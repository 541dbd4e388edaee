# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node: an inventory host with its GPUs or CPU slots, and how it is doing."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator

from .names import label_key_fault, label_text

Administrative = Literal["enabled", "draining", "drained"]
Status = Literal["unreachable", "unhealthy", "drained", "draining", "allocated", "mixed", "idle", "unknown"]


class Gpu(BaseModel):
    """One GPU as NVML names it. ``memory_mib``: MiB; ``mig``: whether MIG mode is on, None where there is none."""

    model_config = ConfigDict(extra="ignore")

    index: int = Field(ge=0)
    uuid: str
    model: str
    memory_mib: int = Field(ge=0)
    pci: str = ""
    mig: bool | None = None


class Admin(BaseModel):
    """What people decided about a node, who did, when and why."""

    state: Administrative = "enabled"
    by: str = ""
    at: str | None = None
    reason: str = ""


class Reachability(BaseModel):
    """Whether the last contact failed. Only a change of it is a transaction; ``last_seen`` is kept beside the state."""

    ok: bool | None = None
    at: str | None = None
    reason: str = ""


class Alert(BaseModel):
    """A confirmed fault of a node, as its monitor tells it: since when, and how often it has come."""

    model_config = ConfigDict(extra="ignore")

    check: str
    entity: str = ""
    label: str = ""
    status: Literal["WARNING", "CRITICAL"]
    reason: str = ""
    action: str = ""
    first_seen: str = ""
    last_seen: str = ""
    count: int = Field(default=1, ge=1)


class Health(BaseModel):
    """The last verdict about a node. ``state`` is unknown until somebody has looked: then ``at`` is None.

    ``vital``: whether a check is CRITICAL without which no job can run; ``score``: 0 to 100; ``check``, ``reason``,
    ``action``: the worst finding; ``at``: since when this is the verdict;
    ``drained_at``: when it was last drained for its health;
    ``last_check``: when the node was looked at, ``source`` by whom (daemon: its monitor; live: a look of its own).
    """

    state: Literal["healthy", "degraded", "unhealthy", "unknown"] = "unknown"
    vital: bool = False
    score: int | None = Field(default=None, ge=0, le=100)
    check: str = ""
    reason: str = ""
    action: str = ""
    source: str = ""
    at: str | None = None
    last_check: str | None = None
    drained_at: str | None = None
    alerts: list[Alert] = []

    @property
    def known(self) -> bool:
        """Whether somebody has looked at the node, so that its health says whether it is offered."""
        return self.at is not None

    @field_validator("state", mode="before")
    @classmethod
    def _words_of_before(cls, value: object) -> object:
        """States that were written before nodes had monitors."""
        before = {"OK": "healthy", "WARN": "degraded", "CRIT": "unhealthy", "UNKNOWN": "unknown"}
        return before.get(value, value) if isinstance(value, str) else value


class NodeFacts(BaseModel):
    """What a sync says of a node: the inventory's part and what the agent discovered on it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    address: str = Field(min_length=1)
    labels: dict[str, str] = {}
    slots: int | None = Field(default=None, ge=0)
    interface: str | None = None
    state_dir: str = "/var/lib/muster"
    connection: dict[str, Any] = {}
    gpus: list[Gpu] = []
    cpus: int = Field(default=1, ge=1)
    memory_mib: int = Field(default=0, ge=0)
    boot_id: str | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_are_text(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        for key in value:
            if fault := label_key_fault(str(key)):
                raise ValueError(fault)
        return {str(key): label_text(str(key), item) for key, item in value.items()}


class Node(NodeFacts):
    """A node as the state keeps it."""

    model_config = ConfigDict(extra="ignore")

    slots: int = Field(default=1, ge=0)
    admin: Admin = Admin()
    reachability: Reachability = Reachability()
    health: Health = Health()
    created_at: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gpu_model(self) -> str:
        """The models of its GPUs, or ``unknown`` where it has none."""
        return ", ".join(sorted({gpu.model for gpu in self.gpus})) or "unknown"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gpu_memory_mib(self) -> int:
        """The memory of its smallest GPU in MiB; 0 where it has none."""
        return min((gpu.memory_mib for gpu in self.gpus), default=0)


def status(node: Node, *, taken: int) -> Status:
    """The worst that is true of ``node``, of whose GPUs (or slots) ``taken`` are leased. Derived, never stored."""
    capacity = len(node.gpus) or node.slots
    if node.reachability.ok is None:
        return "unknown"
    verdicts: list[tuple[bool, Status]] = [
        (node.reachability.ok is False, "unreachable"),
        (node.health.state == "unhealthy", "unhealthy"),
        (node.admin.state == "drained" or (node.admin.state == "draining" and not taken), "drained"),
        (node.admin.state == "draining", "draining"),
        (node.health.known and node.health.state == "unknown", "unknown"),
        (taken > 0 and taken >= capacity, "allocated"),
        (taken > 0, "mixed"),
    ]
    return next((word for true, word in verdicts if true), "idle")
