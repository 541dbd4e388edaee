# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the supervisors of an attempt tell each other while its ranks run, so that none goes on when one part has ended
badly: also where no playbook looks.

Each node keeps a TCP connection to the gate's node, the hub, on a leased port, which listens until all have come:

    node -> hub   {"say": "here", "node": "n2"}
    node -> hub   {"say": "end", "state": "failed", "reason": "...", "lost": [], "abort": true}
    node -> hub   {"say": "idle", "idle": true}
    hub -> node   {"say": "stop", "reason": "...", "lost": ["n3"], "hang": false, "abort": true}

While all is well nothing is said: the kernel's keepalive notices a node that is gone, and is answered also by a node
that has no time for its supervisor; that of a supervisor which died closes its end. Each line begins with the
HMAC-SHA-256 of it, its sender, and how many it has sent before, keyed with a secret of the attempt.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import json
import os
import select
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]
    Problem = dict[str, str]

LONGEST_LINE = 1 << 16
LINKED_WITHIN_S = 10.0  # they have connected before the gate opens
KEEPALIVE = ((socket.TCP_KEEPIDLE, 3), (socket.TCP_KEEPINTVL, 3), (socket.TCP_KEEPCNT, 3))
UNANSWERED_MS = 12000
"""After so long without an answer a node is lost: 3 s of silence and three questions, or what was sent to it."""


class Broken(Exception):
    """The other end has gone, cannot be reached any more, or is not who it should be."""


HANG: Document = {"reason": "no rank shows a sign of life", "lost": [], "hang": True, "abort": True}


class Channel:
    """One end of a connection: whole lines that nobody else can have sent."""

    def __init__(self, connection: socket.socket, me: str, peer: str | None, secret: str) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (*KEEPALIVE, (socket.TCP_USER_TIMEOUT, UNANSWERED_MS)):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        self.connection = connection
        self.peer = peer
        self._me = me
        self._key = secret.encode()
        self._text = b""
        self._sent = self._heard = 0

    def send(self, message: Document) -> None:
        """Say it. A line is far shorter than what the kernel keeps for whoever listens; raises Broken."""
        text = json.dumps(message)
        line = f"{self._mac(self._me, self._sent, text)} {text}\n".encode()
        self._sent += 1
        try:
            self.connection.sendall(line)
        except OSError as error:
            raise Broken(os.strerror(error.errno or errno.EPIPE).lower()) from None

    def receive(self) -> list[Document]:
        """Return what has arrived, without waiting. Raises Broken when nothing can come any more."""
        found: list[Document] = []
        try:
            part = self.connection.recv(65536)
        except (BlockingIOError, InterruptedError):
            return found
        except OSError as error:
            raise Broken(os.strerror(error.errno or errno.EPIPE).lower()) from None
        if not part:
            raise Broken("its supervisor has ended")
        *lines, self._text = (self._text + part).split(b"\n")
        if len(self._text) > LONGEST_LINE:
            raise Broken("it said what no supervisor says")
        return [self._read(line) for line in lines]

    def close(self) -> None:
        self.connection.close()

    def _read(self, line: bytes) -> Document:
        try:
            mac, _space, text = line.decode().partition(" ")
            message: Document = json.loads(text)
            peer = self.peer or str(message["node"])
        except (ValueError, KeyError, TypeError):
            raise Broken("it said what no supervisor says") from None
        if not hmac.compare_digest(mac, self._mac(peer, self._heard, text)):
            raise Broken("it does not know the secret of the attempt")
        self._heard += 1
        self.peer = peer
        return message

    def _mac(self, sender: str, number: int, text: str) -> str:
        return hmac.new(self._key, f"{sender} {number} {text}".encode(), hashlib.sha256).hexdigest()


class Link:
    """The link of a job on one node: nobody to tell."""

    call: Document | None = None
    """Why this node's part is to stop, as {"reason", "lost", "hang", "abort"}; None while it is not. `abort`: what its
    ranks may wait for will not come, so that they need no time to end by themselves."""

    def descriptors(self) -> dict[int, int]:
        """What to wait for: descriptor -> poll events."""
        return {}

    def heed(self) -> None:
        """Take note of what the others have said, without waiting."""

    def end(self, state: str, reason: str | None, lost: list[str], abort: bool) -> None:
        """Tell the others how this node's part has ended, which nodes are lost, and whether to `abort`."""

    def idle(self, idle: bool) -> None:
        """Tell whether the ranks of this node have shown no sign of life for too long. When all have not, all stop."""
        if idle:
            self.call = self.call or HANG

    def awaited(self) -> bool:
        """Whether the others still count on this node's link, though its own part has ended."""
        return False

    def close(self) -> None:
        """Leave."""


class Spoke(Link):
    """The link of any node but the hub."""

    def __init__(self, spec: Document, connection: socket.socket) -> None:
        self._hub = spec["gate"]["node"]
        self._channel: Channel | None = Channel(connection, spec["node"], self._hub, spec["gate"]["token"])
        self._idle = False
        self._say({"say": "here", "node": spec["node"]})

    def descriptors(self) -> dict[int, int]:
        return {self._channel.connection.fileno(): select.POLLIN} if self._channel else {}

    def heed(self) -> None:
        if self._channel:
            try:
                for message in self._channel.receive():
                    self.call = self.call or {key: message[key] for key in ("reason", "lost", "hang", "abort")}
            except Broken as why:
                self._leave(why)

    def end(self, state: str, reason: str | None, lost: list[str], abort: bool) -> None:
        self._say({"say": "end", "state": state, "reason": reason, "lost": lost, "abort": abort})

    def idle(self, idle: bool) -> None:
        if idle is not self._idle:
            self._idle = idle
            self._say({"say": "idle", "idle": idle})

    def close(self) -> None:
        if self._channel:
            self._channel.close()
            self._channel = None

    def _say(self, message: Document) -> None:
        if self._channel:
            try:
                self._channel.send(message)
            except Broken as why:
                self._leave(why)

    def _leave(self, why: Broken) -> None:
        self.close()
        reason = f"lost touch with {self._hub}: {why}"
        self.call = self.call or _call(reason, [self._hub], abort=True)


class Hub(Link):
    """The link of the gate's node: it hears of every end, and tells all others of a bad one."""

    def __init__(self, spec: Document, listener: socket.socket) -> None:
        self._me = spec["node"]
        self._secret = spec["gate"]["token"]
        self._listener = listener
        self._strangers: list[Channel] = []
        self._channels: dict[str, Channel] = {}
        self._expected = set(spec["gate"]["nodes"]) - {self._me}
        """The nodes that have neither ended nor been lost."""
        self._deadline = time.monotonic() + LINKED_WITHIN_S
        self._idle: set[str] = set()

    def descriptors(self) -> dict[int, int]:
        sockets = [self._listener, *(channel.connection for channel in [*self._strangers, *self._channels.values()])]
        return {one.fileno(): select.POLLIN for one in sockets if one.fileno() >= 0}

    def heed(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:  # nobody else is there, or they went away again
                break
            self._strangers.append(Channel(connection, self._me, None, self._secret))
        for channel in [*self._strangers, *self._channels.values()]:
            self._listen_to(channel)
        missing = self._expected - set(self._channels)
        if time.monotonic() > self._deadline:
            for node in sorted(missing):
                self._lose(node, f"it did not link itself within {LINKED_WITHIN_S:g} s of the start")
            missing = set()
        if not missing:
            self._close_the_door()

    def _lose(self, node: str, why: str) -> None:
        """Take note that a node is gone before its end."""
        if node in self._expected:
            self._expected.discard(node)
            self._call_off(_call(f"lost touch with {node}: {why}", [node], abort=True))

    def end(self, state: str, reason: str | None, lost: list[str], abort: bool) -> None:
        self.heed()  # those who have come meanwhile are to be told as well
        if state == "succeeded":
            self.idle(True)  # it waits for the others
        else:
            self._call_off(_call(f"{self._me}: {reason or state}", lost, abort))

    def idle(self, idle: bool) -> None:
        self._note_idle(self._me, idle)

    def awaited(self) -> bool:
        return bool(self._expected)

    def close(self) -> None:
        self._close_the_door()
        for channel in self._channels.values():
            channel.close()

    def _close_the_door(self) -> None:
        """Let nobody in any more: all who belong here have come, or it is too late."""
        self._listener.close()
        while self._strangers:
            self._strangers.pop().close()

    def _listen_to(self, channel: Channel) -> None:
        try:
            for message in channel.receive():
                self._take(channel, message)
        except Broken as why:
            channel.close()
            if channel in self._strangers:
                self._strangers.remove(channel)
            elif channel.peer and self._channels.get(channel.peer) is channel:
                del self._channels[channel.peer]
                self._lose(channel.peer, str(why))

    def _take(self, channel: Channel, message: Document) -> None:
        node = str(channel.peer)
        if message["say"] == "here":
            if node not in self._expected or node in self._channels or channel not in self._strangers:
                raise Broken("it is not one of those who are missing")
            self._strangers.remove(channel)
            self._channels[node] = channel
            if self.call:
                self._tell(channel)
        elif message["say"] == "idle":
            self._note_idle(node, bool(message["idle"]))
        elif node in self._expected:
            self._expected.discard(node)
            if message["state"] != "succeeded":
                reason = f"{node}: {message['reason'] or message['state']}"
                self._call_off(_call(reason, message["lost"], message["abort"]))
            self._note_idle(node, False)

    def _note_idle(self, node: str, idle: bool) -> None:
        (self._idle.add if idle else self._idle.discard)(node)
        if self._expected and {self._me, *self._expected} <= self._idle:
            self._call_off(HANG)

    def _call_off(self, call: Document) -> None:
        """Stop all others, and let ours be stopped; the first reason is the one that counts."""
        if self.call is None:
            self.call = call
            for channel in list(self._channels.values()):
                self._tell(channel)

    def _tell(self, channel: Channel) -> None:
        with contextlib.suppress(Broken):  # its end is noticed when it is listened to
            channel.send({"say": "stop", **(self.call or {})})


def _call(reason: str, lost: list[str], abort: bool) -> Document:
    return {"reason": reason, "lost": lost, "hang": False, "abort": abort}
