# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is this node fit to run a job? Each check says OK, WARN, CRIT or UNKNOWN, why, and what to do."""

from __future__ import annotations

import os
import sys
import tempfile

from . import inventory, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .layout import Layout

    Document = dict[str, Any]

MIB = 1024 * 1024
LOW_DISK_MIB = 1024
FULL_DISK_MIB = 100


def run(layout: Layout) -> list[Document]:
    return [_python(), _state_dir(layout), _disk(layout), _nvml(), _boot_id()]


def _python() -> Document:
    return _result("python", "OK", f"Python {sys.version.split()[0]}")


def _state_dir(layout: Layout) -> Document:
    try:
        layout.create()
        with tempfile.TemporaryFile(dir=layout.jobs):
            return _result("state_dir", "OK", f"{layout.state_dir} can be written to")
    except OSError as error:
        action = "run provision.yml, or set muster_state_dir to a directory that the agent's user may write to"
        return _result("state_dir", "CRIT", f"{layout.state_dir} cannot be written to: {error.strerror}", action)


def _disk(layout: Layout) -> Document:
    try:
        facts = os.statvfs(layout.state_dir)
    except OSError as error:
        return _result("disk", "UNKNOWN", f"{layout.state_dir} cannot be read: {error.strerror}", "run provision.yml")
    free_mib = facts.f_bavail * facts.f_frsize // MIB
    state = "CRIT" if free_mib < FULL_DISK_MIB else "WARN" if free_mib < LOW_DISK_MIB else "OK"
    action = "" if state == "OK" else "make room: ranks write their logs there"
    return _result("disk", state, f"{free_mib} MiB are free below {layout.state_dir}", action)


def _nvml() -> Document:
    found = inventory.gpus()
    nvml = found["nvml"]
    if nvml["status"] == "error":
        return _result("nvml", "CRIT", nvml["detail"], "look at nvidia-smi and dmesg on this node")
    if nvml["status"] == "absent":
        return _result("nvml", "OK", "no NVML library: a node without GPUs")
    return _result("nvml", "OK", f"{len(found['gpus'])} GPUs, driver {nvml['driver']}")


def _boot_id() -> Document:
    if processes.boot_id():
        return _result("boot_id", "OK", "the id of this boot can be read")
    action = "mount /proc: without it a reboot cannot be told from a crash"
    return _result("boot_id", "UNKNOWN", "the id of this boot cannot be read", action)


def _result(name: str, state: str, reason: str, action: str = "") -> Document:
    return {"name": name, "state": state, "reason": reason, "action": action}
