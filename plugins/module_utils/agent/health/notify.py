# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What systemd is told of this service, and wants to hear in time (sd_notify(3))."""

from __future__ import annotations

import os
import socket

_address: str | None = None


def take() -> float | None:
    """Take systemd's address out of the environment, so that what we start cannot speak for us. Returns within how many
    seconds it wants to hear from us, or None."""
    global _address
    _address = os.environ.pop("NOTIFY_SOCKET", None)
    limit, pid = os.environ.pop("WATCHDOG_USEC", None), os.environ.pop("WATCHDOG_PID", None)
    if not limit or (pid and pid != str(os.getpid())):
        return None
    return int(limit) / 1e6


def tell(*lines: str) -> None:
    """Send lines such as READY=1; nothing where nobody listens."""
    if not _address:
        return
    path = "\0" + _address[1:] if _address.startswith("@") else _address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
        try:
            end.sendto("\n".join(lines).encode(), path)
        except OSError:  # systemd is being restarted: the next line comes
            return
