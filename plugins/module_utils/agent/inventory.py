# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node is: its processors, memory, GPUs and addresses."""

from __future__ import annotations

import os
import sys

from . import accounts, interfaces, isolated, nvml, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

NVML_TIMEOUT_S = 60.0  # without persistence mode, eight GPUs take some 20 s to wake up
MIB = 1024 * 1024


def read() -> Document:
    """Return the `node` object of docs/agent.md."""
    account = accounts.current()
    return {
        "hostname": os.uname().nodename,
        "boot_id": processes.boot_id(),
        "python": ".".join(str(number) for number in sys.version_info[:3]),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB,
        "systemd": os.path.isdir("/run/systemd/system"),
        "user": account.name,
        "uid": account.uid,
        "kernel": os.uname().release,
        **gpus(),
        "addresses": [{"interface": interface, "address": address} for interface, address in interfaces.addresses()],
    }


def gpus() -> Document:
    """Return {"gpus": [...], "nvml": {...}}; a driver that hangs or crashes is an `error` like any other."""
    try:
        found: Document = isolated.ask(nvml.read, NVML_TIMEOUT_S)
        return found
    except isolated.NoAnswer as error:
        return {"gpus": [], "nvml": {"status": "error", "detail": f"NVML {error}", "driver": None}}
