# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands on this machine, for nodes that are this machine (``ansible_connection: local``)."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import IO, cast

from .target import Target
from .transport import Reply


class LocalTransport:
    """The transport of a node that is the controller itself."""

    def __init__(self, target: Target) -> None:
        self.name = target.name

    def run(
        self,
        command: str,
        stdin: bytes = b"",
        timeout_s: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """As in ``Transport``. At the time limit the whole process group of the command is killed."""
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function  # it carries commands, there is no module
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        pipes = cast(tuple[IO[bytes], IO[bytes], IO[bytes]], (process.stdin, process.stdout, process.stderr))
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            _kill_group(process.pid)

        stdout: list[bytes] = []
        stderr: list[bytes] = []
        helpers = [
            threading.Thread(target=_write, args=(pipes[0], stdin), daemon=True),
            threading.Thread(target=_read, args=(pipes[2], stderr.append), daemon=True),
        ]
        clock = threading.Timer(timeout_s, expire) if timeout_s is not None else None
        try:
            for thread in (*helpers, clock):
                if thread is not None:
                    thread.start()
            _read(pipes[1], on_stdout or stdout.append)
            for thread in helpers:
                thread.join()
            code = process.wait()
        finally:
            if clock is not None:
                clock.cancel()
            if process.returncode is None:
                _kill_group(process.pid)
                process.wait()
        if code >= 0 and not expired.is_set():
            return Reply(self.name, code, b"".join(stdout), b"".join(stderr), transport="local")
        where = f"{self.name} (this machine)"
        return Reply(
            self.name,
            stdout=b"".join(stdout),
            stderr=b"".join(stderr),
            error=f"{where} did not answer within {timeout_s:g} s"
            if expired.is_set()
            else f"the command on {where} was killed by a signal",
            failure="timeout" if expired.is_set() else "unreachable",
            transport="local",
        )

    def close(self) -> None:
        """Nothing is kept open."""


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _write(stream: IO[bytes], data: bytes) -> None:
    try:
        stream.write(data)
        stream.close()
    except BrokenPipeError:
        return  # the command ended without reading all of it, which is its own business


def _read(stream: IO[bytes], take: Callable[[bytes], None]) -> None:
    while piece := os.read(stream.fileno(), 65536):
        take(piece)
    stream.close()
