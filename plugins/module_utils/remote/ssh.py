# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands on a node over SSH, byte for byte and without a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .dial import Dialer
from .target import Target
from .transport import Failure, Reply, Unreachable

if TYPE_CHECKING:
    import fabric

PIECE = 65536


class SshTransport:
    """The transport of a node reached by plain ssh. Several threads may run commands at once, over one connection.

    The channel is paramiko's own, opened on Fabric's connection: ``Connection.run`` decodes what comes, and sends its
    stdin character by character (10 s for 1,000 bytes, measured).
    """

    def __init__(self, target: Target, dialer: Dialer) -> None:
        self.name = target.name
        self._target = target
        self._dialer = dialer
        self._lock = threading.Lock()
        self._connection: fabric.Connection | None = None
        self._running = 0

    def run(
        self,
        command: str,
        stdin: bytes = b"",
        timeout_s: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """As in ``Transport``. The time limit does not count the time for connecting, which has its own."""
        with self._lock:
            if self._connection is None or not self._connection.is_connected:
                try:
                    self._connection = self._dialer.dial(self._target)
                except Unreachable as error:
                    return Reply(self.name, error=str(error), failure=error.failure, transport="fabric")
            connection = self._connection
            self._running += 1
        try:
            return self._run(connection, command, stdin, timeout_s, on_stdout)
        finally:
            with self._lock:
                self._running -= 1

    def close(self) -> None:
        """As in ``Transport``."""
        with self._lock:
            if self._connection is not None and not self._running:
                self._connection.close()
                self._connection = None

    def _run(
        self,
        connection: fabric.Connection,
        command: str,
        stdin: bytes,
        timeout_s: float | None,
        on_stdout: Callable[[bytes], None] | None,
    ) -> Reply:
        import paramiko

        where = f"{self.name} ({connection.host}:{connection.port})"
        stdout: list[bytes] = []
        stderr: list[bytes] = []

        def failed(sentence: str, failure: Failure = "unreachable") -> Reply:
            return Reply(self.name, None, b"".join(stdout), b"".join(stderr), sentence, failure, "fabric")

        try:
            channel = connection.transport.open_session(timeout=self._target.connect_timeout_s)
        except (paramiko.SSHException, OSError, EOFError) as error:
            connection.client.close()
            return failed(f"the connection to {where} is dead: {_words(error)}")
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            channel.close()  # which ends every wait on the channel; paramiko has no limit of its own for most of them

        clock = threading.Timer(timeout_s, expire) if timeout_s is not None else None
        broken = ""
        try:
            if clock is not None:
                clock.start()
            channel.exec_command(command)
            # A time limit on the channel would spare these threads, but it would also cut off what is being sent.
            threading.Thread(target=_write, args=(channel, stdin), daemon=True).start()
            errors = threading.Thread(target=_read, args=(channel.recv_stderr, stderr.append), daemon=True)
            errors.start()
            _read(channel.recv, on_stdout or stdout.append)
            errors.join()
            code = channel.recv_exit_status()
        except (paramiko.SSHException, OSError, EOFError) as error:
            code, broken = -1, _words(error)
        finally:
            if clock is not None:
                clock.cancel()
            channel.close()
        if code >= 0 and not expired.is_set():
            return Reply(self.name, code, b"".join(stdout), b"".join(stderr), transport="fabric")
        if expired.is_set():
            return failed(f"{where} did not answer within {timeout_s:g} s", "timeout")
        if broken or not connection.is_connected:
            return failed(f"the connection to {where} broke while a command ran" + (f": {broken}" if broken else ""))
        return failed(f"the command on {where} was killed by a signal")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _write(channel: Any, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except (OSError, EOFError):
        return  # the command ended without reading all of it, which is its own business


def _read(receive: Callable[[int], bytes], take: Callable[[bytes], None]) -> None:
    while piece := receive(PIECE):
        take(piece)
