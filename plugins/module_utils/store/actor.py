# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is written with each change."""

from __future__ import annotations

import getpass
import os
import socket


def actor(door: str, user: str = "") -> str:
    """``<door>:<user>@<host>``, say ``ansible:ann@desk``; ``user``: if it is not whoever this process runs as."""
    try:
        user = user or getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        user = f"uid {os.getuid()}"
    return f"{door}:{user}@{socket.gethostname()}"
