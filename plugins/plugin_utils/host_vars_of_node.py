# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a node's document to the variables of an inventory host: how Ansible reaches it, and what the state knows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ..module_utils.remote import Target

KNOWN = ("admin", "free", "gpu_memory_mib", "gpu_model", "gpus", "health", "jobs", "last_seen", "size", "status")
"""Fields of the document that become ``muster_<field>``."""
GIVEN = ("address", "interface", "labels", "slots", "state_dir")
"""The same, but these are read by Muster when it syncs (docs of the inventories): what it reads is what it wrote."""


def host_variables(node: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of one host; those that say nothing are left out."""
    variables = {f"muster_{field}": node[field] for field in (*KNOWN, *GIVEN)}
    connection = node["connection"]
    if connection:
        variables |= _ansible_variables(Target.from_document(connection))
    return {name: value for name, value in variables.items() if value is not None}


def _ansible_variables(target: Target) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    if target.python != Target.python:
        variables["ansible_python_interpreter"] = target.python
    if target.become_user:
        variables["ansible_become"] = True
        variables["ansible_become_method"] = "sudo"
        variables["ansible_become_user"] = target.become_user
    if target.transport == "local":
        return variables | {"ansible_connection": "local"}
    arguments, timeout_s = _ssh_arguments(target), target.connect_timeout_s
    return variables | {
        "ansible_host": target.dialed,
        "ansible_port": target.port,
        "ansible_user": target.user,
        "ansible_timeout": None if timeout_s == Target.connect_timeout_s else int(timeout_s),
        "ansible_ssh_private_key_file": target.key_files[0] if target.key_files else None,
        "ansible_ssh_common_args": shlex.join(arguments) if arguments else None,
    }


def _ssh_arguments(target: Target) -> list[str]:
    """What Ansible has no variable of its own for, as arguments of ssh."""
    arguments = ["-F", target.ssh_config] if target.ssh_config else []
    arguments += [word for path in target.key_files[1:] for word in ("-i", path)]
    options = {
        "ProxyJump": target.jump,
        "IdentitiesOnly": "yes" if target.identities_only else None,
        "UserKnownHostsFile": " ".join(target.known_hosts) or None,
        "StrictHostKeyChecking": target.host_key_checking,
    }
    return arguments + [word for name, value in options.items() if value for word in ("-o", f"{name}={value}")]
