# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of nodes' monitors, as the variables of the inventory ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..module_utils.agent.errors import AgentError
from ..module_utils.agent.health.catalogue import BY_NAME
from ..module_utils.agent.health.settings import parse
from ..module_utils.cluster import Cluster
from ..module_utils.door.call import plain
from ..module_utils.model import InvalidInput
from .fleet_action import Fleet

Document = dict[str, Any]


def settings_of(fleet: Fleet, cluster: Cluster, hosts: Iterable[str]) -> dict[str, Document]:
    """By host; all of them are checked. The GPUs to expect are those of the state unless a variable says it.

    :raises InvalidInput: a host's are wrong.
    """
    known = cluster.nodes()
    settings: dict[str, Document] = {}
    faults: dict[str, list[str]] = {}
    for name in hosts:
        asked = plain(fleet.variable(name, "muster_health", {}))
        try:
            if not isinstance(asked, Mapping):
                raise AgentError("bad_settings", f"muster_health must be a mapping, not {asked!r}")
            expect = {"gpus": len(known[name].gpus)} if name in known else {}
            given = asked.get("expect", {})
            wanted = {**expect, **given} if isinstance(given, Mapping) else given
            settings[name] = {"node": name, **_alerts(fleet, name), **asked, "expect": wanted}
            parse(settings[name], BY_NAME)
        except AgentError as error:
            faults.setdefault(error.message, []).append(name)
    if faults:
        told = "; ".join(f"{', '.join(names)}: {message}" for message, names in faults.items())
        raise InvalidInput(told, "correct muster_health; docs/health.md has all that it may say")
    return settings


def _alerts(fleet: Fleet, name: str) -> Document:
    """Where alerts go, if that is said apart from all else."""
    asked = {key: plain(fleet.variable(name, f"muster_{key}", None)) for key in ("alert_command", "alert_url")}
    return {key: value for key, value in asked.items() if value is not None}
