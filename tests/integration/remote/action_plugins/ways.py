# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A throw-away action: runs commands on all hosts of the play at once, and writes down what came of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.muster.training.plugins.module_utils.model.errors import MusterError
from ansible_collections.muster.training.plugins.module_utils.remote import Reply, fan_out
from ansible_collections.muster.training.plugins.plugin_utils.connections import Access, Connections


class ActionModule(ActionBase):
    """Arguments: commands (a list), stdin, timeout_s, only (hosts), to (the file for the results)."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        args = self._task.args
        try:
            ways = Connections(self, args.get("only") or (task_vars or {})["ansible_play_hosts_all"])
        except MusterError as error:
            return {"failed": True, "msg": str(error)}
        outcomes = fan_out({name: self._asker(ways[name]) for name in ways})
        found = {name: _told(ways[name], outcome.get()) for name, outcome in outcomes.items()}
        ways.close()
        Path(args["to"]).write_text(json.dumps(found))
        return {"changed": False}

    def _asker(self, way: Access) -> Any:
        args = self._task.args
        stdin = Path(args["stdin"]).read_bytes() if "stdin" in args else b""

        def ask() -> list[Reply]:
            return [way.transport.run(command, stdin, args.get("timeout_s", 60)) for command in args["commands"]]

        return ask


def _told(way: Access, replies: list[Reply]) -> dict[str, Any]:
    try:
        address = way.address()
    except MusterError as error:
        address = str(error)
    document = way.target.to_document() if way.target is not None else None
    return {
        "replies": [
            {
                "rc": reply.rc,
                "stdout": reply.stdout[:1000].decode("latin-1"),
                "sha256": hashlib.sha256(reply.stdout).hexdigest(),
                "stderr": reply.stderr[:1000].decode("latin-1"),
                "error": reply.error,
                "failure": reply.failure,
                "transport": reply.transport,
            }
            for reply in replies
        ],
        "target": document,
        "tagged": sorted({type(value).__name__ for value in _leaves(document)} - {"str", "int", "float", "bool"}),
        "python": way.python,
        "state_dir": way.state_dir,
        "address": address,
    }


def _leaves(value: Any) -> list[Any]:
    if type(value) is dict:
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if type(value) is list:
        return [leaf for each in value for leaf in _leaves(each)]
    return [] if value is None else [value]
