# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet whose state is kept: nodes of 8 GPUs, as a sync leaves them, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from muster.model import Gpu, Health, Node, Reachability, iso

Document = dict[str, Any]
Change = Callable[[Document, int], None]

BEGINNING = datetime(2026, 11, 1, 8, tzinfo=UTC)
GPUS = 8
RACK, BLOCK = 16, 64


def fleet(nodes: int) -> list[Document]:
    """The documents of so many nodes, about 2 kB of JSON each."""
    return [node(number) for number in range(nodes)]


def name_of(number: int) -> str:
    return f"gpu-{number // BLOCK:03d}-{number % BLOCK:02d}"


def address_of(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def node(number: int) -> Document:
    gpus = [
        Gpu(
            index=index,
            uuid=f"GPU-{number:08x}-{index:04x}-4a1c-9d2e-{number * GPUS + index:012x}",
            model="NVIDIA H100 80GB HBM3",
            memory_mib=81559,
            pci=f"00000000:{16 * index + 3:02X}:00.0",
            mig=False,
        )
        for index in range(GPUS)
    ]
    found = Node(
        name=name_of(number),
        address=address_of(number),
        labels={
            "rack": f"r{number // RACK:04d}",
            "zone": f"z{number % 4}",
            "topology": f"spine{number % 2}/leaf{number // RACK:04d}/{name_of(number)}",
            "image": "ubuntu-24.04-h100-2026.10",
        },
        slots=208,
        interface="bond0",
        connection={"user": "ops", "port": 22, "become": True},
        gpus=gpus,
        cpus=208,
        memory_mib=2063962,
        boot_id=f"{number:08x}-8a36-4e65-a1c6-0f0b3a7f4a3d",
        reachability=Reachability(ok=True, at=iso(BEGINNING)),
        health=Health(state="healthy", at=iso(BEGINNING)),
        created_at=iso(BEGINNING),
    )
    return found.model_dump(mode="json")


def sicken(document: Document, turn: int) -> None:
    """One durable update: the monitor has another verdict. Each turn's differs from that of the turn before."""
    document["health"] = {
        **document["health"],
        "state": "degraded" if turn % 2 else "unhealthy",
        "reason": f"GPU {turn % GPUS} is at {80 + turn % 20} C",
        "at": at(turn),
    }


def meet(document: Document, turn: int) -> None:
    """A heartbeat, written into the document."""
    document["reachability"] = {**document["reachability"], "at": at(turn)}


def at(turn: int) -> str:
    """``turn`` milliseconds from -1000 on, after the beginning; put together cheaply, as it is timed as well."""
    since = turn + 1000
    hour = BEGINNING.hour + since // 3_600_000
    return f"2026-11-01T{hour:02d}:{since // 60_000 % 60:02d}:{since // 1000 % 60:02d}.{since % 1000:03d}000Z"
