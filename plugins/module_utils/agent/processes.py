# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What /proc says: who lives, since when, who descends from whom, and whose environment names a job.

A process is known by its pid and its start time in clock ticks since boot (proc(5), field 22): pids are reused.
"""

from __future__ import annotations

import os
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Process:
    """One line of /proc/PID/stat."""

    __slots__ = ("alive", "cpu_s", "parent", "pid", "start_ticks")

    def __init__(self, pid: int, parent: int, start_ticks: int, alive: bool, cpu_s: float = 0.0) -> None:
        self.pid = pid
        self.parent = parent
        self.start_ticks = start_ticks
        self.alive = alive
        self.cpu_s = cpu_s
        """Processor time that it and those it has waited for have used, in seconds."""


def read(pid: int) -> Process | None:
    """Return the process, or None if there is none. A zombie is not alive, unless only its first thread has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    alive = fields[0] not in (b"Z", b"X") or int(fields[17]) > 1
    return Process(pid, int(fields[1]), int(fields[19]), alive, sum(map(int, fields[11:15])) / TICKS_A_SECOND)


def start_ticks(pid: int) -> int | None:
    process = read(pid)
    return process.start_ticks if process else None


def lives(pid: int, ticks: int | None) -> bool:
    """Whether this very process still runs."""
    process = read(pid)
    return process is not None and process.alive and process.start_ticks == ticks


def everything() -> dict[int, Process]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = read(int(name))
            if process:
                found[process.pid] = process
    return found


def descendants(roots: Iterable[int], table: dict[int, Process] | None = None) -> list[Process]:
    """Return all living processes below `roots`, the roots themselves left out."""
    table = everything() if table is None else table
    children: dict[int, list[Process]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    todo = list(roots)
    while todo:
        for process in children.get(todo.pop(), []):
            if process.pid not in found:
                found[process.pid] = process
                todo.append(process.pid)
    return [process for process in found.values() if process.alive]


def of_attempt(markers: dict[str, str], known: Iterable[tuple[int, int]]) -> list[Process]:
    """Return what is left of an attempt whose supervisor is gone.

    `markers`: environment variables that each of its ranks was given; a process that carries them all belongs to it,
    and so does what descends from it or from one of the `known` (pid, start ticks). Environments of other users can
    be read by root only: an agent that is not root finds its own.
    """
    table = everything()
    wanted = {f"{name}={value}".encode() for name, value in markers.items()}
    roots = {pid for pid, ticks in known if pid in table and table[pid].start_ticks == ticks}
    for pid in table:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if wanted.issubset(file.read().split(b"\0")):
                    roots.add(pid)
        except OSError:
            continue
    roots.discard(os.getpid())
    found = {process.pid: process for process in descendants(roots, table)}
    found.update({pid: table[pid] for pid in roots if table[pid].alive})
    return [found[pid] for pid in sorted(found)]


def send(process: Process, number: int) -> None:
    """Signal this very process; one that has ended, or that we may not signal, is left alone (it stays in the
    count)."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:  # a kernel before 5.3, or a container that forbids it
        handle = -1
    try:
        if start_ticks(process.pid) != process.start_ticks:
            return
        if handle < 0:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        if handle >= 0:
            os.close(handle)


def wait_gone(pid: int, ticks: int | None, timeout_s: float) -> bool:
    """Wait until this very process has ended, at most `timeout_s`; whether it has. Works on anyone's process."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        deadline = time.monotonic() + timeout_s
        while lives(pid, ticks) and time.monotonic() < deadline:
            time.sleep(0.05)
        return not lives(pid, ticks)
    try:
        if lives(pid, ticks):
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            poll.poll(max(0, int(timeout_s * 1000)))
    finally:
        os.close(handle)
    return not lives(pid, ticks)


def close_all_but(*kept: int) -> None:
    """Close what was inherited, stdin, stdout and stderr apart.

    Not by os.closerange: Python 3.9 counts up to the limit, which is a billion in some containers.
    """
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:  # the one that listed them
                continue


def prctl(option: int, value: int) -> None:
    """Call prctl(2). Raises OSError."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def boot_id() -> str:
    """Return the kernel's id of this boot, or an empty string where it cannot be read."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
