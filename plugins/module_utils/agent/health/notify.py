# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What systemd is told of this service, and wants to hear in time (sd_notify(3))."""

from __future__ import annotations

import os
import socket

NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_taken: dict[str, str] = {}


def take() -> float | None:
    """Take systemd's address out of the environment, so that what we start cannot speak for us. Returns within how many
    seconds it wants to hear from us, or None."""
    _taken.update({name: os.environ.pop(name) for name in NAMES if name in os.environ})
    limit, pid = _taken.get("WATCHDOG_USEC"), _taken.get("WATCHDOG_PID")
    if not limit or (pid and pid != str(os.getpid())):
        return None
    return int(limit) / 1e6


def give_back() -> None:
    """Put it there again, for the program that takes the place of this one."""
    os.environ.update(_taken)


def tell(*lines: str) -> None:
    """Send lines such as READY=1; nothing where nobody listens."""
    address = _taken.get("NOTIFY_SOCKET")
    if not address:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
        try:
            end.sendto("\n".join(lines).encode(), path)
        except OSError:  # systemd is being restarted: the next line comes
            return
