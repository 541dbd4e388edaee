# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a node is and how to get in: all that is needed to run a command on it, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from posixpath import isabs
from typing import Any, Literal

from ..model.errors import InvalidInput

DEFAULT_STATE_DIR = "/var/lib/muster"
DEFAULT_PYTHON = "python3"


@dataclass(frozen=True)
class Target:
    """One node as the controller sees it. Kept in the node's record, so that the CLI reaches it without an inventory.

    What is None or empty is left to the user's ssh configuration, as with ``ssh HOST``. ``key_files``,
    ``ssh_config`` and ``known_hosts`` are paths on the controller, never contents.
    """

    name: str
    transport: Literal["ssh", "local"] = "ssh"
    host: str = ""
    port: int | None = None
    user: str | None = None
    key_files: tuple[str, ...] = ()
    identities_only: bool = False
    ssh_config: str | None = None
    """The file of ``ssh -F``, read instead of ~/.ssh/config and /etc/ssh/ssh_config."""
    jump: str | None = None
    """The hops of ``ssh -J``: [user@]host[:port],..."""
    known_hosts: tuple[str, ...] = ()
    host_key_checking: Literal["yes", "accept-new", "no"] | None = None
    connect_timeout_s: float = 10.0
    become_user: str | None = None
    """Whom commands run as through ``sudo -n``, where that is not the user who logs in."""
    python: str = DEFAULT_PYTHON
    state_dir: str = DEFAULT_STATE_DIR

    def __post_init__(self) -> None:
        if not isabs(self.state_dir):
            raise InvalidInput(
                f"muster_state_dir of {self.name} is {self.state_dir!r}, which is not an absolute path",
                "give the whole path, for example /var/lib/muster: the node does not expand ~",
            )

    @property
    def dialed(self) -> str:
        """The name or address that is connected to."""
        return self.host or self.name

    def to_document(self) -> dict[str, Any]:
        """Plain JSON without the fields that are as by default."""
        document: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                document[field.name] = list(value) if isinstance(value, tuple) else value
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Target:
        """The reverse of ``to_document``. Keys that this version does not know are left out.

        :raises InvalidInput: the document names no node.
        """
        if not document.get("name"):
            raise InvalidInput("a node's record holds no target to connect to", "run the sync playbook again")
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items() if key in known
        }
        return cls(**values)
