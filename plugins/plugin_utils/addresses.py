# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IP address at which the other nodes reach a node."""

from __future__ import annotations

import socket

from ..module_utils.model.errors import InvalidInput
from ..module_utils.remote import Dialer, Target, Unreachable
from .host_variables import HostVariables


def address_of(variables: HostVariables, target: Target | None = None, dialer: Dialer | None = None) -> str:
    """muster_address, else ansible_host, else the host's name (127.0.0.1 for a host that is this machine), as an IP.

    A name is resolved here, on the controller, IPv4 before IPv6; with a target and a dialer also by the HostName of the
    ssh configuration.

    :raises InvalidInput: the name does not resolve.
    """
    given = variables.text("muster_address") or variables.text("ansible_host")
    if not given and variables.connection_kind == "local":
        return "127.0.0.1"
    names = [given or variables.name]
    if not variables.text("muster_address") and target is not None and target.transport == "ssh" and dialer is not None:
        try:
            names.append(dialer.host_of(target))
        except Unreachable:
            names.append("")
    for name in filter(None, names):
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError:
            continue
        # AF_INET is less than AF_INET6.
        return str(min(found, key=lambda each: each[0])[4][0])
    raise InvalidInput(
        f"the address of {variables.name} is unknown: {names[0]} does not resolve on this machine",
        "set muster_address to the IP address at which the other nodes reach it",
    )
