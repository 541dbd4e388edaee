# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can happen to a node: each verb is one fault, and `heal` undoes them all.

A network fault replaces the one before it; it stays in force while the node is off or reboots.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from .command import LabError, call
from .network import CONTROLLER, enter_command
from .node import Node

TABLE = "inet muster_lab"
FILLER = "var/muster-lab.fill"


def power_loss(node: Node) -> None:
    """It is gone at once. The cable goes first, so that no FIN or RST tells its peers."""
    node.network.plug(node.name, False)
    node.kill()


def halt(node: Node) -> None:
    """It shuts down in order and stays off."""
    node.halt()


def reboot(node: Node) -> None:
    """It reboots in order; returns when sshd answers again."""
    node.reboot()


def cut(node: Node) -> None:
    """Its cable is out."""
    node.network.plug(node.name, False)


def drop(node: Node) -> None:
    """No packet reaches it or leaves it: connections hang."""
    _filter(node, "input drop", "output drop")


def mute(node: Node) -> None:
    """It hears but cannot answer."""
    _filter(node, "output drop")


def deaf(node: Node) -> None:
    """It speaks but hears nothing."""
    _filter(node, "input drop")


def refuse(node: Node) -> None:
    """Its ssh port refuses connections."""
    _filter(node, "input tcp dport 22 reject with tcp reset")


def hide(node: Node) -> None:
    """The controller cannot reach it, its peers can: it needs a jump host."""
    _filter(node, f"input ip saddr {CONTROLLER} drop")


def part(node: Node, address: str) -> None:
    """It and the node with this address cannot reach each other."""
    _filter(node, f"input ip saddr {address} drop", f"output ip daddr {address} drop")


def lose(node: Node, percent: str = "30") -> None:
    """It loses so many percent of the packets sent to it."""
    _filter(node, f"input numgen random mod 100 < {int(percent)} drop")


def slow(node: Node, rate: str = "1mbit") -> None:
    """Its network is no faster than `rate`, both ways."""
    shape = ("root", "tbf", "rate", rate, "burst", "16kb", "latency", "400ms")
    for namespace, device in _ends(node):
        call(*enter_command(namespace, "tc", "qdisc", "replace", "dev", device, *shape))


def fill(node: Node) -> None:
    """Its disk is full to the last byte."""
    with open(node.root / FILLER, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def freeze(node: Node) -> None:
    """Every process in it stands still: the kernel answers pings and accepts connections, nothing else happens."""
    node.cgroup.freeze(True)


def hang_ssh(node: Node) -> None:
    """Its sshd is stopped: connections are accepted by the kernel and never served."""
    call(*node.command("systemctl", "kill", "--kill-who=main", "--signal=STOP", "ssh.service"))


def new_key(node: Node) -> None:
    """It was installed anew behind your back: sshd has another host key."""
    place = f"/etc/ssh/{node.host_key.name}"
    generate = f"rm -f {place} && ssh-keygen -q -t ed25519 -N '' -f {place} && systemctl restart ssh.service"
    call(*node.command("sh", "-c", generate))


VERBS: dict[str, Callable[..., None]] = {
    act.__name__.replace("_", "-"): act
    for act in (
        *(power_loss, halt, reboot, cut, drop, mute, deaf, refuse, hide, part, lose, slow),
        *(fill, freeze, hang_ssh, new_key),
    )
}


def inject(verb: str, node: Node, *arguments: str) -> None:
    """Let the fault of that name (a key of VERBS) happen to the node, and note it beside the node until it heals."""
    if verb not in VERBS:
        raise LabError(f"there is no fault {verb}; there are {', '.join(VERBS)}")
    (node.directory / "faulty").touch()
    VERBS[verb](node, *arguments)


def is_faulty(node: Node) -> bool:
    """Whether a fault was injected that has not healed, or the node is off for whatever reason."""
    return (node.directory / "faulty").exists() or not node.runner()


def heal(node: Node) -> None:
    """Undo every fault but the loss of power; what is off stays off, for whoever owns the lab to start."""
    node.cgroup.freeze(False)
    node.network.plug(node.name, True)
    call(*_in_namespace(node, "nft", "-f", "-"), stdin=f"table {TABLE} {{}}\ndelete table {TABLE}\n")
    for namespace, device in _ends(node):
        call(*enter_command(namespace, "tc", "qdisc", "del", "dev", device, "root"), check=False)
    (node.root / FILLER).unlink(missing_ok=True)
    if node.runner():
        call(*node.command("systemctl", "kill", "--kill-who=main", "--signal=CONT", "ssh.service"))
        if node.install_host_key():
            call(*node.command("systemctl", "restart", "ssh.service"))
        node.wait_for_ssh()
    else:
        node.install_host_key()
    (node.directory / "faulty").unlink(missing_ok=True)


def _filter(node: Node, *rules: str) -> None:
    """Filter what enters (input) and leaves (output) the node's namespace; its own loopback stays open."""
    lines = [f"table {TABLE} {{}}", f"delete table {TABLE}", f"add table {TABLE}"]
    for hook, own in (("input", "iif lo"), ("output", "oif lo")):
        lines.append(f"add chain {TABLE} {hook} {{ type filter hook {hook} priority 0; }}")
        lines.append(f"add rule {TABLE} {hook} {own} accept")
    lines += [f"add rule {TABLE} {rule}" for rule in rules]
    call(*_in_namespace(node, "nft", "-f", "-"), stdin="\n".join(lines) + "\n")


def _in_namespace(node: Node, *argv: str) -> list[str]:
    return enter_command(node.network.namespace(node.name), *argv)


def _ends(node: Node) -> tuple[tuple[str, str], tuple[str, str]]:
    """Both ends of the node's cable: (namespace, device)."""
    return (node.network.namespace(node.name), "host0"), (node.network.controller, f"v-{node.name}")
