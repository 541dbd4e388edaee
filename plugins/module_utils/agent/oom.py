# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often the kernel has killed for want of memory where this process lives.

A rank that was killed while the count rose was killed for that. The count is of the supervisor's own cgroup where the
memory controller watches it (v2 `memory.events`, v1 `memory.oom_control`), else of the whole machine (/proc/vmstat).
"""

from __future__ import annotations

import os


def kills() -> int | None:
    """Return the number of OOM kills so far, or None where the kernel does not tell."""
    for path in (*_own_files(), "/proc/vmstat"):
        try:
            with open(path) as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _space, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None


def _own_files() -> list[str]:
    found = []
    with open("/proc/self/cgroup") as file:
        for line in file:
            number, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                found.append(os.path.join("/sys/fs/cgroup/memory", path.lstrip("/"), "memory.oom_control"))
            elif number == "0":
                found.append(os.path.join("/sys/fs/cgroup", path.lstrip("/"), "memory.events"))
    return found
