# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's limit of inotify instances, which every systemd takes some of: one limit for all nodes together."""

from __future__ import annotations

from pathlib import Path

from .record import LABS, records

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
BEFORE = LABS / "inotify-before"


def allow() -> None:
    """Raise the limit of inotify instances: with the usual 128, sshd does not come up from about 25 nodes on."""
    nodes = sum(len(record.addresses) for record in records())
    if not BEFORE.exists():
        BEFORE.write_text(LIMIT.read_text())
    LIMIT.write_text(str(max(int(LIMIT.read_text()), 128 + 32 * nodes)))


def restore() -> None:
    """Put the limit back as it was before the first lab, when the last one is gone."""
    if BEFORE.exists() and not records():
        LIMIT.write_text(BEFORE.read_text())
        BEFORE.unlink()
