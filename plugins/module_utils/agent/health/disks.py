# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Room, inodes and writability of file systems (checks `disk.*`; sampler `disks`, for a dead NFS mount hangs)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

from ..layout import Layout
from .ask import Ask
from .result import CRITICAL, OK, SKIPPED, UNKNOWN, Result, below
from .settings import Settings

GB = 1e9


def read(settings: Settings, doing: Callable[[str], None]) -> dict[str, Any]:
    """Return path -> {"free_gb", "inodes_free", "readonly", "unwritten"} or {"error"}; bytes that others than root may
    use. `unwritten`: why nothing can be written to the state directory; None for other paths, which are not tried."""
    found: dict[str, Any] = {}
    readonly = _readonly()
    for path in settings.disks:
        doing(path)
        try:
            facts = os.statvfs(path)
        except OSError as error:
            found[path] = {"error": error.strerror or str(error)}
            continue
        found[path] = {
            "free_gb": round(facts.f_bavail * facts.f_frsize / GB, 2),
            "inodes_free": round(facts.f_favail / facts.f_files * 100, 1) if facts.f_files else None,
            "readonly": os.stat(path).st_dev in readonly,
            "unwritten": _unwritten(Layout(path)) if path == settings.state_dir else None,
        }
    return found


def _readonly() -> set[int]:
    """Return the devices whose file systems as such are read-only (proc(5), mountinfo): the monitor's own view of them
    is, too, wherever it need not write."""
    found = set()
    with open("/proc/self/mountinfo") as file:
        for line in file:
            mount, _dash, super_block = line.partition(" - ")
            if "ro" in super_block.split()[-1].split(","):
                major, _colon, minor = mount.split()[2].partition(":")
                found.add(os.makedev(int(major), int(minor)))
    return found


def _unwritten(layout: Layout) -> str | None:
    try:
        layout.create()
        with tempfile.TemporaryFile(dir=layout.jobs):
            return None
    except OSError as error:
        return error.strerror or str(error)


def free(facts: dict[str, Any], ask: Ask) -> list[Result]:
    """The first design asked for 10 GB at least."""

    def judge(path: str, one: dict[str, Any]) -> Result:
        value = one["free_gb"]
        status, threshold = below(value, ask.warning, ask.critical)
        reason = f"{value:g} GB are free below {path}"
        action = "" if status == OK else "make room: ranks write their logs and checkpoints there"
        return Result(status, reason, action, value=value, unit="GB", threshold=threshold)

    return _each(facts, judge)


def inodes(facts: dict[str, Any], ask: Ask) -> list[Result]:
    def judge(path: str, one: dict[str, Any]) -> Result:
        value = one["inodes_free"]
        if value is None:
            return Result(SKIPPED, f"{path} is on a file system that does not count inodes")
        status, threshold = below(value, ask.warning, ask.critical)
        reason = f"{value:g} % of the inodes are free below {path}"
        return Result(
            status, reason, "" if status == OK else "remove files", value=value, unit="%", threshold=threshold
        )

    return _each(facts, judge)


def writable(facts: dict[str, Any], ask: Ask) -> list[Result]:
    def judge(path: str, one: dict[str, Any]) -> Result:
        if one["readonly"]:
            reason = f"{path} is on a file system that is mounted read-only"
            action = "look at dmesg for errors of the disk, and mount it anew"
            return Result(CRITICAL, reason, action, value="read-only")
        if one["unwritten"]:
            reason = f"{path} cannot be written to: {one['unwritten']}"
            action = "run provision.yml, or set muster_state_dir to a directory that the agent's user may write to"
            return Result(CRITICAL, reason, action, value=one["unwritten"])
        return Result(OK, f"{path} is mounted to be written to", value="writable")

    return _each(facts, judge)


def _each(facts: dict[str, Any], judge: Callable[[str, dict[str, Any]], Result]) -> list[Result]:
    found = []
    for path, one in facts.items():
        if "error" in one:
            result = Result(
                UNKNOWN, f"{path} cannot be looked at: {one['error']}", "mount it, or take it from the list"
            )
        else:
            result = judge(path, one)
        found.append(result._replace(entity=path, label=path))
    return found
