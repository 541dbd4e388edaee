# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All nodes of an attempt start together or not at all.

The gate's node listens on the leased port (which is thereby proved to be free) and every other node reports its
problems there, in JSON lines:

    node -> gate   {"token": "...", "node": "n2", "problems": [{"code", "message"}], "door": 40113}
    gate -> node   {"job": "...", "attempt": 1, "doors": {"n1": ["10.0.0.1", 40999], ...}}
    node -> gate   {"problems": [{"code", "message"}]}
    gate -> node   {"job": "...", "attempt": 1, "go": false, "problems": [{"node", "code", "message"}]}

When all have come without a problem, each tries every other at its door, a port that it listens on for this: what one
cannot reach, its ranks could not either. The gate answers when all have reported or its time is up. The nodes close
first, so that the port is not left in TIME_WAIT for the rank that listens on it next.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import time

from . import doors, sockets
from .sockets import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .sockets import Waiter

    Document = dict[str, Any]
    Problem = dict[str, str]

LONGEST_LINE = 1 << 20
FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
ANSWER_MARGIN_S = 5.0  # the gate's own deadline passes first, and its answer says who is missing
CLOSE_TIMEOUT_S = 2.0
DOORS_TIMEOUT_S = sockets.CONNECT_TIMEOUT_S + 15.0


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
    if listener is None and spec["node"] == spec["gate"]["node"]:  # its port was taken: nobody can reach it
        return own
    with doors.opened(spec) as door:
        if listener is None:
            return _report(spec, problems, own, door, waiter, on_the_way)
        with listener:
            return _hold(spec, listener, own, door, waiter)


def port_problem(node: str, port: int, error: OSError) -> Problem:
    taken = error.errno == errno.EADDRINUSE
    why = "another program listens on it" if taken else os.strerror(error.errno or 0)
    return {"code": "port_taken", "message": f"port {port} of {node} cannot be used: {why}"}


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
        self.door = 0
        self.has_tried = False


def _hold(spec: Document, listener: socket.socket, own: list[Problem], door: int, waiter: Waiter) -> list[Problem]:
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
        if spec["preflight"] and reported and not problems:
            problems = _try_doors(spec, reported, door, waiter)
        _answer(spec, reported, problems)
        return problems
    except Interrupted:
        _answer(spec, [guest for guest in guests.values() if guest.node], [stopped(spec)])
        raise
    finally:
        for guest in guests.values():
            guest.connection.close()


def _try_doors(spec: Document, guests: list[_Guest], door: int, waiter: Waiter) -> list[Problem]:
    """Let every node try every other one's door; the problems that they had with it, as {node, code, message}."""
    addresses = spec["addresses"]
    places = {str(guest.node): (addresses[guest.node], guest.door) for guest in guests}
    places[spec["node"]] = addresses[spec["node"]], door
    line = json.dumps({"job": spec["job"], "attempt": spec["attempt"], "doors": places}).encode() + b"\n"
    for guest in guests:
        guest.text = b""
        _send(guest, line)
    problems = [{"node": spec["node"], **problem} for problem in doors.tried(spec, places, waiter)]
    deadline = time.monotonic() + DOORS_TIMEOUT_S
    waiting = {guest.connection.fileno(): guest for guest in guests}
    while waiting:
        ready = waiter.ready(dict.fromkeys(waiting, select.POLLIN), deadline)
        if not ready:
            break
        for descriptor in ready:
            guest = waiting[descriptor]
            if not _hear_again(guest) or guest.has_tried:
                del waiting[descriptor]
    for guest in guests:
        if guest.has_tried:
            problems += [{"node": str(guest.node), **problem} for problem in guest.problems]
        else:
            message = f"{guest.node} did not say which nodes it reaches"
            problems.append({"node": str(guest.node), "code": "gate_timeout", "message": message})
    return problems


def _read(guest: _Guest) -> bool:
    """Read what has arrived; whether more can come."""
    try:
        part = guest.connection.recv(65536)
    except OSError:
        return False
    guest.text += part
    return bool(part) and len(guest.text) <= LONGEST_LINE


def _hear_again(guest: _Guest) -> bool:
    """Read what a node that has tried the doors says; whether more can come."""
    if not _read(guest):
        return False
    if guest.text.endswith(b"\n"):
        try:
            said = json.loads(guest.text)["problems"]
            guest.problems = [{"code": str(p["code"]), "message": str(p["message"])} for p in said]
        except (ValueError, KeyError, TypeError):
            return False
        guest.has_tried = True
    return True


def _send(guest: _Guest, line: bytes) -> None:
    guest.connection.settimeout(CLOSE_TIMEOUT_S)
    with contextlib.suppress(OSError):  # it went away: its own supervisor finds no answer and refuses
        guest.connection.sendall(line)
    guest.connection.setblocking(False)


def _welcome(listener: socket.socket, guests: dict[int, _Guest]) -> None:
    try:
        connection = listener.accept()[0]
    except OSError:  # it went away again
        return
    connection.setblocking(False)
    guests[connection.fileno()] = _Guest(connection)


def _hear(guest: _Guest, token: str, expected: set[str]) -> bool:
    """Read what has arrived; whether the connection is worth keeping."""
    if not _read(guest):
        return False
    if guest.node is None and guest.text.endswith(b"\n"):
        try:
            report = json.loads(guest.text)
            if report["token"] != token or report["node"] not in expected:
                return False
            guest.problems = [{"code": str(p["code"]), "message": str(p["message"])} for p in report["problems"]]
            guest.door = int(report["door"])
            guest.node = report["node"]
        except (ValueError, KeyError, TypeError):
            return False
    return True


def _answer(spec: Document, guests: list[_Guest], problems: list[Problem]) -> None:
    answer = {"job": spec["job"], "attempt": spec["attempt"], "go": not problems, "problems": problems}
    line = json.dumps(answer).encode() + b"\n"
    deadline = time.monotonic() + CLOSE_TIMEOUT_S
    for guest in guests:
        _send(guest, line)
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
    door: int,
    waiter: Waiter,
    on_the_way: Callable[[float], list[Problem]],
) -> list[Problem]:
    gate = spec["gate"]
    deadline = time.monotonic() + gate["timeout_s"]
    pause = FIRST_PAUSE_S
    while True:
        try:
            return _ask(spec, problems, door, deadline, waiter, on_the_way)
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
    door: int,
    deadline: float,
    waiter: Waiter,
    on_the_way: Callable[[float], list[Problem]],
) -> list[Problem]:
    """Report once and return the gate's answer. Raises OSError (try again) and ValueError (that is not a gate)."""
    gate = spec["gate"]
    with sockets.connect(gate["address"], gate["port"], waiter, deadline) as connection:
        _say(
            connection,
            {
                "token": gate["token"],
                "node": spec["node"],
                "problems": problems + on_the_way(deadline),
                "door": door,
            },
        )
        answer = _answered(spec, connection, waiter)
        if answer and "doors" in answer:
            _say(connection, {"problems": doors.tried(spec, answer["doors"], waiter)})
            answer = _answered(spec, connection, waiter)
    if answer is None:
        message = f"{gate['node']} did not say go within {gate['timeout_s'] + ANSWER_MARGIN_S:g} s"
        return [{"node": spec["node"], "code": "gate_timeout", "message": message}]
    if answer["go"]:
        return []
    return list(answer["problems"])


def _say(connection: socket.socket, message: Document) -> None:
    connection.settimeout(sockets.CONNECT_TIMEOUT_S)
    connection.sendall(json.dumps(message).encode() + b"\n")
    connection.setblocking(False)


def _answered(spec: Document, connection: socket.socket, waiter: Waiter) -> Document | None:
    """The gate's next line; None if it does not come. Raises OSError, and ValueError for what no gate says."""
    text = b""
    until = time.monotonic() + spec["gate"]["timeout_s"] + ANSWER_MARGIN_S
    while not text.endswith(b"\n"):
        if not waiter.ready({connection.fileno(): select.POLLIN}, until):
            return None
        part = connection.recv(65536)
        if not part:
            raise OSError(errno.ECONNRESET, "the connection was closed without an answer")
        text += part
    answer = json.loads(text)
    if not isinstance(answer, dict) or (answer.get("job"), answer.get("attempt")) != (spec["job"], spec["attempt"]):
        raise ValueError
    return answer
