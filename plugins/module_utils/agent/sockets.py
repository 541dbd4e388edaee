# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listening and connecting without ever waiting for longer than is good, and without missing a stop meanwhile."""

from __future__ import annotations

import errno
import os
import select
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .wake import Wake

CONNECT_TIMEOUT_S = 5.0


class Interrupted(Exception):
    """The attempt was asked to stop while it waited."""


class Waiter:
    """Waits on sockets, and ends with Interrupted as soon as `stopping()` is true."""

    def __init__(self, wake: Wake, stopping: Callable[[], bool]) -> None:
        self._wake = wake
        self._stopping = stopping

    def ready(self, interests: dict[int, int], deadline: float) -> list[int]:
        """Return the descriptors that are ready, none of them once the deadline (monotonic) has passed."""
        while True:
            found = self._wake.wait(deadline, interests)
            if self._stopping():
                raise Interrupted
            if found or time.monotonic() >= deadline:
                return found


def listen(address: str, port: int) -> socket.socket:
    """Bind the port (0: one that the kernel chooses) on all addresses of the family of `address`. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen(1024)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def connect(address: str, port: int, waiter: Waiter, deadline: float) -> socket.socket:
    """Connect within CONNECT_TIMEOUT_S, and before the deadline (monotonic). Raises OSError and Interrupted."""
    connection, code = _begun(address, port)
    try:
        if code == errno.EINPROGRESS:
            until = min(deadline, time.monotonic() + CONNECT_TIMEOUT_S)
            found = waiter.ready({connection.fileno(): select.POLLOUT}, until)
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if found else errno.ETIMEDOUT
        if code:
            raise OSError(code, os.strerror(code).lower())
    except BaseException:
        connection.close()
        raise
    return connection


def unreachable(places: Mapping[str, tuple[str, int]], waiter: Waiter) -> dict[str, str]:
    """Connect to all of these (name -> address and port) at once and hang up again: name -> why, of those that could
    not be reached within CONNECT_TIMEOUT_S. Raises Interrupted."""
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    failed: dict[str, str] = {}
    waiting: dict[int, tuple[str, socket.socket]] = {}
    try:
        for name, (address, port) in places.items():
            connection, code = _begun(address, port)
            if code == errno.EINPROGRESS:
                waiting[connection.fileno()] = name, connection
                continue
            connection.close()
            if code:
                failed[name] = os.strerror(code).lower()
        while waiting:
            found = waiter.ready(dict.fromkeys(waiting, select.POLLOUT), deadline)
            if not found:
                break
            for descriptor in found:
                name, connection = waiting.pop(descriptor)
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                connection.close()
                if code:
                    failed[name] = os.strerror(code).lower()
        failed.update({name: os.strerror(errno.ETIMEDOUT).lower() for name, _connection in waiting.values()})
    finally:
        for _name, connection in waiting.values():
            connection.close()
    return failed


def _begun(address: str, port: int) -> tuple[socket.socket, int]:
    """A connection that is being made, and what the kernel says of it."""
    family, kind, _protocol, _name, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    connection = socket.socket(family, kind)
    connection.setblocking(False)
    return connection, connection.connect_ex(place)
