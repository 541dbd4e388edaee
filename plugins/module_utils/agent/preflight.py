# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that can be known to go wrong before a rank starts, asked with the rights of the job's user.

The questions run in a process of their own with a time limit: a dead file server or a hung driver must not take the
supervisor along.
"""

from __future__ import annotations

import errno
import os

from . import environment, interfaces, isolated, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .accounts import Account
    from .layout import Layout

    Document = dict[str, Any]
    Problem = dict[str, str]


def check(spec: Document, account: Account, timeout_s: float, layout: Layout) -> list[Problem]:
    """Return the problems of this node, as {code, message}; an empty list means that the ranks can start."""
    try:
        found: list[Problem] = isolated.ask(lambda: _check(spec, account, layout), timeout_s)
        return found
    except isolated.NoAnswer as error:
        message = f"the preflight (cwd {environment.working_directory(spec, account)}, GPUs) {error}"
        return [{"code": "preflight_failed", "message": message}]


def fitness(layout: Layout) -> list[Problem]:
    """Return why the node's monitor says that no job is to run here; nothing where none runs, or it is content."""
    from .health import latest

    if latest.running(layout) is None:
        return []
    report = latest.read(layout)
    if report is None or not report["fresh"]:
        return [_problem("node_unknown", "the monitor of this node has said nothing about it for too long")]
    if report["state"] == "unhealthy":
        return [_problem("node_unhealthy", f"the node is unhealthy: {report['reason']}")]
    if report["state"] == "unknown":
        return [_problem("node_unknown", f"the node's health is not known: {report['reason']}")]
    return []


def find_executable(word: str, path: str, cwd: str) -> str | None:
    """Return the file that execvp(3) would run: a word with a slash is relative to `cwd`, others are looked up."""
    places = [cwd] if "/" in word else [os.path.join(cwd, directory) for directory in path.split(":")]
    for place in places:
        candidate = os.path.join(place, word)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def _check(spec: Document, account: Account, layout: Layout) -> list[Problem]:
    problems = _gpus(spec["gpus"], spec["preflight"], layout) + _interface(spec["interface"])
    try:
        account.become()
    except OSError as error:
        return [*problems, _problem("user_forbidden", f"cannot become user {account.name!r}: {error.strerror}")]
    return problems + (_directory(spec, account) or _executables(spec, account))


def _gpus(uuids: list[str], strange_too: bool, layout: Layout) -> list[Problem]:
    if not uuids:
        return []
    from . import nvml

    found = [_problem("gpu_missing", sentence) for sentence in nvml.missing(uuids)]
    if strange_too and not found:
        ours = _of_the_monitor(layout)
        found = [_problem("gpu_busy", sentence) for sentence in nvml.processes_on(uuids, ours)]
    return found


def _of_the_monitor(layout: Layout) -> set[int]:
    """The processes of the node's own monitor: PyTorch, which it tries on each GPU, is gone in a moment."""
    from .health import latest

    monitor = latest.running(layout)
    return {process.pid for process in processes.descendants([monitor["pid"]])} if monitor else set()


def _interface(name: str | None) -> list[Problem]:
    if name is None or name in interfaces.names():
        return []
    there = ", ".join(interfaces.names())
    return [_problem("interface_missing", f"there is no network interface {name!r} (there are: {there})")]


def _directory(spec: Document, account: Account) -> list[Problem]:
    cwd = environment.working_directory(spec, account)
    try:
        os.chdir(cwd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return [_problem("cwd_missing", f"the directory {cwd} does not exist")]
        return [_problem("cwd_forbidden", f"user {account.name!r} cannot enter {cwd}: {error.strerror}")]
    return []


def _executables(spec: Document, account: Account) -> list[Problem]:
    cwd = environment.working_directory(spec, account)
    problems = []
    seen = set()
    for process in spec["processes"]:
        word = process["command"][0]
        path = process["env"].get("PATH", environment.PATH)
        if (word, path) in seen:
            continue
        seen.add((word, path))
        if find_executable(word, path, cwd) is None:
            where = "" if word.startswith("/") else f" relative to {cwd}" if "/" in word else f" in PATH={path}"
            problems.append(_problem("executable_not_found", f"{word!r} is not an executable file{where}"))
    return problems


def _problem(code: str, message: str) -> Problem:
    return {"code": code, "message": message}
