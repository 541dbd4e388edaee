# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's network interfaces and their addresses, from the kernel (rtnetlink(7)), and which one leads to a peer."""

from __future__ import annotations

import os
import socket
import struct

RTM_GETADDR = 22
RTM_NEWADDR = 20
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST_DUMP = 0x1 | 0x300
IFA_ADDRESS = 1
IFA_LOCAL = 2


def names() -> list[str]:
    return [name for _index, name in socket.if_nameindex()]


def addresses() -> list[tuple[str, str]]:
    """Return (interface, address) of every IPv4 and IPv6 address, in the kernel's order. Raises OSError."""
    found: list[tuple[str, str]] = []
    request = struct.pack("=IHHIIB3xI", 24, RTM_GETADDR, NLM_F_REQUEST_DUMP, 1, 0, socket.AF_UNSPEC, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.settimeout(5)
        link.send(request)
        while True:
            data = link.recv(1 << 18)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", data, 16)[0]
                    raise OSError(code, os.strerror(code))
                if kind == RTM_NEWADDR:
                    address = _address(data[16:length])
                    if address:
                        found.append(address)
                data = data[(length + 3) & ~3 :]


def towards(peer: str) -> str | None:
    """Return the interface whose address the kernel would speak from to `peer`; None if no route leads there."""
    try:
        family, kind, _protocol, _name, target = socket.getaddrinfo(peer, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)  # UDP: chooses the route, sends nothing
            own = str(probe.getsockname()[0]).partition("%")[0]
        return next((interface for interface, address in addresses() if address == own), None)
    except OSError:
        return None


def _address(message: bytes) -> tuple[str, str] | None:
    family, index = struct.unpack_from("=B3xI", message)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    chosen = b""
    rest = message[8:]
    while len(rest) >= 4:
        length, kind = struct.unpack_from("=HH", rest)
        if length < 4:
            break
        # On a point-to-point link ADDRESS is the other side and LOCAL is ours; elsewhere IPv6 has only ADDRESS.
        if kind == IFA_LOCAL or (kind == IFA_ADDRESS and not chosen):
            chosen = rest[4:length]
        rest = rest[(length + 3) & ~3 :]
    return (socket.if_indextoname(index), socket.inet_ntop(family, chosen)) if chosen else None
