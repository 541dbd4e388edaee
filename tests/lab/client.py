# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller needs in order to speak to a lab's nodes: ssh_config, known_hosts, and inventories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lab import Lab


def write_ssh_files(lab: Lab) -> None:
    """Write `ssh_config` and an exact `known_hosts` (names and addresses) into the lab's directory."""
    known, hosts = [], []
    for node in lab.nodes.values():
        kind, key, *_ = node.host_key.with_suffix(".pub").read_text().split()
        known.append(f"{node.name},{node.address} {kind} {key}\n")
        hosts.append(f"Host {node.name}\n  HostName {node.address}\n")
    everyone = (
        "Host *\n"
        "  User root\n"
        f"  IdentityFile {lab.key}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {lab.directory}/known_hosts\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  BatchMode yes\n"
    )
    (lab.directory / "known_hosts").write_text("".join(known))
    lab.ssh_config.write_text("".join(hosts) + everyone)


def write_inventory(
    lab: Lab,
    user: str = "root",
    nodes: Iterable[str] | None = None,
    slots: Sequence[int | None] = (),
    via: str | None = None,
    host_vars: dict[str, dict[str, Any]] | None = None,
    **group_vars: Any,
) -> Path:
    """Write an inventory of the lab's nodes (group muster_nodes) and return its path; each call writes a new file.

    user: whom to log in as; anyone but root becomes root with sudo. nodes: which ones (default: all).
    slots: muster_slots of these nodes, in order; None, or no more of them: the node's own number of CPUs.
    via: a node through which all others are reached (ProxyJump). host_vars: further variables of single nodes;
    group_vars: of all.
    """
    names = list(lab.nodes if nodes is None else nodes)
    hosts: dict[str, dict[str, Any]] = {name: {"ansible_host": lab[name].address} for name in names}
    for name, count in zip(names, slots, strict=False):
        if count is not None:
            hosts[name]["muster_slots"] = count
    for name, host in hosts.items():
        if via and name != via:
            host["ansible_ssh_common_args"] = f"-F {lab.ssh_config} -o ProxyJump={via}"
        host.update((host_vars or {}).get(name, {}))
    everyone = {
        "ansible_user": user,
        "ansible_become": user != "root",
        "ansible_ssh_private_key_file": str(lab.key),
        "ansible_ssh_common_args": f"-F {lab.ssh_config}",
        # Labs share addresses: a connection that Ansible keeps open must not be found by another lab's play.
        "ansible_control_path_dir": str(lab.directory / "cp"),
        "ansible_python_interpreter": "/usr/bin/python3",
        **group_vars,
    }
    inventory = {"all": {"children": {"muster_nodes": {"hosts": hosts, "vars": everyone}}}}
    with NamedTemporaryFile("w", prefix="inventory-", suffix=".yml", dir=lab.directory, delete=False) as file:
        json.dump(inventory, file, indent=2)  # JSON is YAML, and needs nothing but the standard library
        return Path(file.name)
