# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a connection plugin with its options set to a Target: what the CLI and Fabric need to know of a host."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

from ansible.plugins.connection import ConnectionBase

from ..module_utils.remote import Target
from ..module_utils.remote.target import DEFAULT_PYTHON, DEFAULT_STATE_DIR
from .host_variables import HostVariables, option
from .ssh_arguments import understood


def target_of(variables: HostVariables, connection: ConnectionBase) -> Target | None:
    """The host as a Target; None where only Ansible can reach it (containers, passwords, odd arguments of ssh).

    :raises InvalidInput: muster_state_dir is not an absolute path.
    """
    fields: dict[str, Any] = {
        "name": variables.name,
        "python": python_of(variables),
        "state_dir": state_dir_of(variables),
        "become_user": _sudo_user(connection),
    }
    if variables.connection_kind == "local":
        return Target(transport="local", **fields)
    if variables.connection_kind != "ssh":
        return None
    how = _ssh_fields(connection)
    return None if how is None else Target(**fields, **how)


def python_of(variables: HostVariables) -> str:
    """The interpreter for the agent: the one named, else that of this process or the host's python3."""
    named = variables.text("ansible_python_interpreter")
    if named and not named.startswith("auto"):
        return named
    return sys.executable if variables.connection_kind == "local" else DEFAULT_PYTHON


def state_dir_of(variables: HostVariables) -> str:
    """Where Muster keeps its files on the host."""
    return variables.text("muster_state_dir") or DEFAULT_STATE_DIR


def _ssh_fields(connection: ConnectionBase) -> dict[str, Any] | None:
    if any(option(connection, name) for name in ("password", "private_key", "pkcs11_provider")):
        return None
    if os.path.basename(option(connection, "ssh_executable") or "ssh") != "ssh":
        return None
    before = understood(_words(connection, "ssh_args"))
    after = understood(_words(connection, "ssh_common_args") + _words(connection, "ssh_extra_args"))
    if before is None or after is None:
        return None
    own: dict[str, Any] = {"host": str(option(connection, "host"))}
    if option(connection, "host_key_checking") is False:
        own["host_key_checking"] = "no"
    if (port := option(connection, "port")) is not None:
        own["port"] = int(port)
    if user := option(connection, "remote_user"):
        own["user"] = str(user)
    if timeout := option(connection, "timeout"):
        own["connect_timeout_s"] = float(timeout)
    key_file = option(connection, "private_key_file")
    own["key_files"] = (
        *before.get("key_files", ()),
        *([os.path.abspath(os.path.expanduser(str(key_file)))] if key_file else ()),
        *after.get("key_files", ()),
    )
    # ssh takes the first of several values, and Ansible puts its own options between these two.
    return {**after, **own, **before, "key_files": own["key_files"]}


def _words(connection: ConnectionBase, name: str) -> list[str]:
    return [word for word in shlex.split(str(option(connection, name) or "")) if word.strip()]


def _sudo_user(connection: ConnectionBase) -> str | None:
    """Whom commands run as, where become is sudo without a password: the CLI can do that too."""
    become = connection.become
    if become is None or become.name != "sudo" or become.get_option("become_pass"):
        return None
    return str(become.get_option("become_user") or "root")
