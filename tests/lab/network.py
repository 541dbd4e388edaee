# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's network: a bridge in a network namespace that has no way out, and one namespace a node plugged into it.

The controller's namespace holds the bridge and its address 10.77.0.1; commands get there with `Network.enter` or
`Network.command`. A node's namespace outlives the node's reboots, so faults stay in force while it is down.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .command import LabError, call

CONTROLLER = "10.77.0.1"
NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000


class Network:
    """The namespaces of one lab: `muster.LAB` and, for each node, `muster.LAB.NODE`. A lab's name holds no dot."""

    def __init__(self, lab: str) -> None:
        self.controller = f"muster.{lab}"

    def namespace(self, node: str) -> str:
        """The name of a node's network namespace."""
        return f"{self.controller}.{node}"

    def up(self, addresses: Mapping[str, str]) -> None:
        """Make the bridge and plug in the nodes (name -> IPv4 address)."""
        _ip([f"netns add {self.controller}", *(f"netns add {self.namespace(node)}" for node in addresses)])
        bridge = ["link set lo up", "link add br0 type bridge", f"addr add {CONTROLLER}/16 dev br0", "link set br0 up"]
        for node in addresses:
            bridge.append(f"link add v-{node} type veth peer name host0 netns {self.namespace(node)}")
            bridge.append(f"link set v-{node} master br0 up")
        _ip(bridge, self.controller)
        for node, address in addresses.items():
            host0 = ["link set lo up", f"addr add {address}/16 dev host0", "link set host0 up"]
            _ip([*host0, f"route add default via {CONTROLLER}"], self.namespace(node))

    def down(self) -> None:
        """Remove every namespace of the lab, and with them all its links."""
        if NAMESPACES.is_dir():
            ours = [path.name for path in NAMESPACES.iterdir() if f"{path.name}.".startswith(f"{self.controller}.")]
            if ours:
                _ip([f"netns del {name}" for name in ours])

    def plug(self, node: str, plugged: bool) -> None:
        """Put a node's cable in or take it out, at the bridge's end."""
        _ip([f"link set v-{node} {'up' if plugged else 'down'}"], self.controller)

    def command(self, *argv: object) -> list[str]:
        """The command that runs `argv` in the controller's namespace.

        nsenter, because `ip netns exec` mounts /sys anew and so loses the cgroup mounts.
        """
        return enter_command(self.controller, *argv)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Move the calling thread, and the threads that it starts meanwhile, into the controller's namespace."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(NAMESPACES / self.controller, "rb") as controller:
            _setns(controller.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())


def enter_command(namespace: str, *argv: object) -> list[str]:
    """The command that runs `argv` in a network namespace."""
    return ["nsenter", f"--net={NAMESPACES / namespace}", *(str(word) for word in argv)]


def _ip(lines: Sequence[str], namespace: str | None = None) -> None:
    """Many `ip` operations in one process."""
    batch = ("ip", "-batch", "-")
    call(*(enter_command(namespace, *batch) if namespace else batch), stdin="\n".join(lines) + "\n")


def _setns(fd: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
        raise LabError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")
