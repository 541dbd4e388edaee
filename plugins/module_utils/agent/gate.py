# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All nodes of an attempt start together or not at all.

The gate's node listens on the leased port (which is thereby proved to be free) and every other node reports its
problems there, one JSON line each way:

    node -> gate   {"token": "...", "node": "n2", "problems": [{"code", "message"}]}
    gate -> node   {"job": "...", "attempt": 1, "go": false, "problems": [{"node", "code", "message"}]}

It answers when all have reported or its time is up. The nodes close first, so that the port is not left in TIME_WAIT
for the rank that listens on it next.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .wake import Wake

    Document = dict[str, Any]
    Problem = dict[str, str]

LONGEST_LINE = 1 << 20
CONNECT_TIMEOUT_S = 5.0
FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
ANSWER_MARGIN_S = 5.0  # the gate's own deadline passes first, and its answer says who is missing
CLOSE_TIMEOUT_S = 2.0


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


def pass_through(
    spec: Document,
    listener: socket.socket | None,
    problems: list[Problem],
    waiter: Waiter,
    on_the_way: Callable[[float], list[Problem]] = lambda deadline: [],
) -> list[Problem]:
    """Return the problems of all nodes as {node, code, message}; an empty list means go.

    `listener`: what `listen` returned on the gate's node, None elsewhere. `on_the_way`: called on the other nodes once
    they have reached the gate, until a deadline (monotonic); it returns further problems. Raises Interrupted.
    """
    own = [{"node": spec["node"], **problem} for problem in problems]
    if listener is not None:
        with listener:
            return _hold(spec, listener, own, waiter)
    if spec["node"] == spec["gate"]["node"]:  # its port was taken: nobody can reach it
        return own
    return _report(spec, problems, own, waiter, on_the_way)


def listen(address: str, port: int) -> socket.socket:
    """Bind the port on all addresses of the family of `address`. Raises OSError."""
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


def port_problem(node: str, port: int, error: OSError) -> Problem:
    taken = error.errno == errno.EADDRINUSE
    why = "another program listens on it" if taken else os.strerror(error.errno or 0)
    return {"code": "port_taken", "message": f"port {port} of {node} cannot be used: {why}"}


def connect(address: str, port: int, waiter: Waiter, deadline: float) -> socket.socket:
    """Connect within CONNECT_TIMEOUT_S, and before the deadline (monotonic). Raises OSError and Interrupted."""
    family, kind, _protocol, _name, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    connection = socket.socket(family, kind)
    try:
        connection.setblocking(False)
        code = connection.connect_ex(place)
        if code == errno.EINPROGRESS:
            until = min(deadline, time.monotonic() + CONNECT_TIMEOUT_S)
            if not waiter.ready({connection.fileno(): select.POLLOUT}, until):
                code = errno.ETIMEDOUT
            else:
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code).lower())
    except BaseException:
        connection.close()
        raise
    return connection


def stopped(spec: Document) -> Problem:
    """Return the problem of a node whose attempt was stopped before it started."""
    return {"node": spec["node"], "code": "canceled", "message": f"{spec['node']} was told to stop before the start"}


class _Guest:
    """A connection to the gate, and what it has said so far."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.text = b""
        self.node: str | None = None
        self.problems: list[Problem] = []


def _hold(spec: Document, listener: socket.socket, own: list[Problem], waiter: Waiter) -> list[Problem]:
    gate = spec["gate"]
    expected = set(gate["nodes"]) - {spec["node"]}
    deadline = time.monotonic() + gate["timeout_s"]
    guests: dict[int, _Guest] = {}
    withdrawn: list[str] = []
    try:
        while not withdrawn and expected - {guest.node for guest in guests.values()}:
            interests = {descriptor: select.POLLIN for descriptor in (listener.fileno(), *guests)}
            ready = waiter.ready(interests, deadline)
            if not ready:
                break
            for descriptor in ready:
                if descriptor == listener.fileno():
                    _welcome(listener, guests)
                elif not _hear(guests[descriptor], gate["token"], expected):
                    guest = guests.pop(descriptor)
                    guest.connection.close()
                    if guest.node:
                        withdrawn.append(guest.node)
        reported = [guest for guest in guests.values() if guest.node]
        problems = list(own)
        for node in withdrawn:
            message = f"{node} was stopped, or its supervisor died, while it waited for the other nodes"
            problems.append({"node": node, "code": "canceled", "message": message})
        for node in sorted(expected - {guest.node for guest in reported} - set(withdrawn)):
            where = f"{gate['node']} at {gate['address']}:{gate['port']}"
            message = f"{node} did not report to {where} within {gate['timeout_s']:g} s"
            problems.append({"node": node, "code": "gate_timeout", "message": message})
        for guest in reported:
            problems += [{"node": str(guest.node), **problem} for problem in guest.problems]
        _answer(spec, reported, problems)
        return problems
    except Interrupted:
        _answer(spec, [guest for guest in guests.values() if guest.node], [stopped(spec)])
        raise
    finally:
        for guest in guests.values():
            guest.connection.close()


def _welcome(listener: socket.socket, guests: dict[int, _Guest]) -> None:
    try:
        connection = listener.accept()[0]
    except OSError:  # it went away again
        return
    connection.setblocking(False)
    guests[connection.fileno()] = _Guest(connection)


def _hear(guest: _Guest, token: str, expected: set[str]) -> bool:
    """Read what has arrived; whether the connection is worth keeping."""
    try:
        part = guest.connection.recv(65536)
    except OSError:
        return False
    guest.text += part
    if not part or len(guest.text) > LONGEST_LINE:
        return False
    if guest.node is None and guest.text.endswith(b"\n"):
        try:
            report = json.loads(guest.text)
            if report["token"] != token or report["node"] not in expected:
                return False
            guest.problems = [{"code": str(p["code"]), "message": str(p["message"])} for p in report["problems"]]
            guest.node = report["node"]
        except (ValueError, KeyError, TypeError):
            return False
    return True


def _answer(spec: Document, guests: list[_Guest], problems: list[Problem]) -> None:
    answer = {"job": spec["job"], "attempt": spec["attempt"], "go": not problems, "problems": problems}
    line = json.dumps(answer).encode() + b"\n"
    deadline = time.monotonic() + CLOSE_TIMEOUT_S
    for guest in guests:
        guest.connection.settimeout(CLOSE_TIMEOUT_S)
        try:
            guest.connection.sendall(line)
        except OSError:  # it went away: its own supervisor finds no answer and refuses
            continue
    for guest in guests:
        guest.connection.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            guest.connection.recv(1)
        except OSError:
            continue


def _report(
    spec: Document,
    problems: list[Problem],
    own: list[Problem],
    waiter: Waiter,
    on_the_way: Callable[[float], list[Problem]],
) -> list[Problem]:
    gate = spec["gate"]
    deadline = time.monotonic() + gate["timeout_s"]
    pause = FIRST_PAUSE_S
    while True:
        try:
            return _ask(spec, problems, deadline, waiter, on_the_way)
        except OSError as error:
            why = error.strerror or str(error)
        except ValueError:
            why = "another program answers there"
            deadline = 0.0
        left = deadline - time.monotonic()
        if left <= 0:
            where = f"{gate['node']} at {gate['address']}:{gate['port']}"
            message = (
                f"{spec['node']} cannot reach {where} ({why}): firewall, or muster_address/muster_interface wrong?"
            )
            return [*own, {"node": spec["node"], "code": "gate_unreachable", "message": message}]
        waiter.ready({}, time.monotonic() + min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE_S)


def _ask(
    spec: Document,
    problems: list[Problem],
    deadline: float,
    waiter: Waiter,
    on_the_way: Callable[[float], list[Problem]],
) -> list[Problem]:
    """Report once and return the gate's answer. Raises OSError (try again) and ValueError (that is not a gate)."""
    gate = spec["gate"]
    with connect(gate["address"], gate["port"], waiter, deadline) as connection:
        report = {"token": gate["token"], "node": spec["node"], "problems": problems + on_the_way(deadline)}
        line = json.dumps(report).encode() + b"\n"
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.sendall(line)
        connection.setblocking(False)
        text = b""
        until = time.monotonic() + gate["timeout_s"] + ANSWER_MARGIN_S
        while not text.endswith(b"\n"):
            if not waiter.ready({connection.fileno(): select.POLLIN}, until):
                message = f"{gate['node']} did not say go within {gate['timeout_s'] + ANSWER_MARGIN_S:g} s"
                return [{"node": spec["node"], "code": "gate_timeout", "message": message}]
            part = connection.recv(65536)
            if not part:
                raise OSError(errno.ECONNRESET, "the connection was closed without an answer")
            text += part
    answer = json.loads(text)
    if not isinstance(answer, dict) or (answer.get("job"), answer.get("attempt")) != (spec["job"], spec["attempt"]):
        raise ValueError
    if answer["go"]:
        return []
    return list(answer["problems"])
