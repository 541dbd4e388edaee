# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that a job listens on: leased, and outside the kernel's ephemeral range."""

from __future__ import annotations

from collections.abc import Collection

from ..model import NoCapacity

PORTS = range(20000, 30000)
"""Below Linux's default ephemeral range (32768 to 60999, ip(7)), so that no outgoing connection takes one."""


def choose_ports(turn: int, taken: Collection[int]) -> tuple[int, int]:
    """Two ports that nobody leases, where ranks meet and where supervisors keep in touch. Give the next ``turn`` each
    time: a port is not used again right after its release."""
    first = _choose(turn, taken)
    return first, _choose(turn + len(PORTS) // 2, {*taken, first})


def _choose(turn: int, taken: Collection[int]) -> int:
    start = turn % len(PORTS)
    for step in range(len(PORTS)):
        port = PORTS[(start + step) % len(PORTS)]
        if port not in taken:
            return port
    raise NoCapacity("every port for jobs is leased", f"{PORTS.start} to {PORTS.stop - 1}", permanent=False)
