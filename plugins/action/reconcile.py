# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the nodes against what the state says. Documentation: the module of the same name."""

from __future__ import annotations

from ..plugin_utils.fleet_action import FleetAction

try:
    from datetime import timedelta

    from ..module_utils.door.call import Call, Result
    from ..module_utils.gang import Finding, recover_gangs
    from ..module_utils.model import InvalidInput
    from ..plugin_utils.columns import columns
except ImportError:  # FleetAction says what is missing
    pass


class ActionModule(FleetAction):
    """Runs in the control process, once for all nodes."""

    interface = {"argument_spec": {"store": {"type": "str"}, "lost_after_s": {"type": "int", "default": 7200}}}

    def answer(self, call: Call) -> Result:
        """The result of the task."""
        lost_after = call.params["lost_after_s"]
        if lost_after < 0:
            raise InvalidInput(f"lost_after_s is {lost_after}", "give seconds, from 0 on")
        cluster = call.cluster()
        leased = {lease.node for lease in cluster.leases()}
        known = {name: node.connection for name, node in cluster.nodes().items()}
        self.fleet.prepare([*self.fleet.play_hosts, *leased], known)
        recovered = recover_gangs(
            cluster,
            self.fleet.dial,
            self.fleet.play_hosts,
            lost_after=timedelta(seconds=lost_after),
        )
        for line in _table(recovered.findings) or [_nothing(recovered.unreachable)]:
            call.say(line)
        for why in recovered.unreachable.values():
            call.warn(why)
        return {
            "changed": recovered.changed,
            "findings": [_document(one) for one in recovered.findings],
            "silent": recovered.unreachable,
        }


def _document(one: Finding) -> Result:
    return {"job": one.job, "name": one.name, "nodes": list(one.nodes), "found": one.found, "done": one.done}


def _table(findings: list[Finding]) -> list[str]:
    if not findings:
        return []
    rows = [
        (f"{one.name} ({one.job})" if one.name else one.job, _nodes(one.nodes), one.found, one.done or "left as it is")
        for one in findings
    ]
    rows.insert(0, ("JOB", "NODES", "FOUND", "DONE"))
    return columns(rows)


def _nothing(silent: dict[str, str]) -> str:
    where = "the nodes that answer" if silent else "the nodes"
    return f"no job holds a lease, and nothing runs on {where}"


def _nodes(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
