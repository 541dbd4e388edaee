# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How nodes are, entered in the state. Documentation: the module of the same name."""

from __future__ import annotations

from ..plugin_utils.fleet_action import FleetAction

try:
    from ..module_utils.door.call import Call, Result
    from ..module_utils.health import HEADINGS, cells, look_at, remarks
    from ..module_utils.model import counted, natural
    from ..plugin_utils.columns import columns
except ImportError:  # FleetAction says what is missing
    pass


class ActionModule(FleetAction):
    """Runs in the control process, once for all hosts."""

    interface = {
        "argument_spec": {
            "store": {"type": "str"},
            "source": {"type": "str", "default": "auto", "choices": ["auto", "daemon", "live"]},
            "hosts": {"type": "list", "elements": "str"},
            "auto_drain": {"type": "bool", "default": True},
            "fail_on": {
                "type": "list",
                "elements": "str",
                "default": [],
                "choices": ["degraded", "unhealthy", "unknown"],
            },
        }
    }

    def answer(self, call: Call) -> Result:
        """The result of the task."""
        hosts = list(self.fleet.play_hosts if call.params["hosts"] is None else call.params["hosts"])
        self.fleet.prepare(hosts)
        found = look_at(self.fleet.dial, sorted(hosts, key=natural), call.params["source"])
        cluster = call.cluster()
        reached = [name for name, one in found.items() if one.report is not None]
        silent = {name: one.error for name, one in found.items() if one.report is None}
        cluster.contacted(reached, silent)
        # Of those that do not answer, the state says so already; what was found of them last is all that is known.
        verdicts = {name: found[name].health for name in reached}
        changes, drains = cluster.judge_nodes(verdicts, drain=call.params["auto_drain"])
        for line in columns([HEADINGS, *map(cells, found.values())]) if found else ():
            call.say(line)
        for line in remarks(found, call.params["source"]):
            call.say(line)
        for name, one in found.items():
            if one.skewed:
                call.warn(f"the clock of {name} is {one.skew_s:+.1f} s from ours")
        for name in drains.drained:
            call.say(f"{name} is drained: {found[name].health.reason}. What runs there goes on")
        for name in drains.resumed:
            call.say(f"{name} is well, and offered again")
        if drains.spared:
            call.warn(f"too many at once to drain {', '.join(drains.spared)} as well: is it a check that is wrong?")
        known = {change.name for change in changes}
        if strangers := [name for name in reached if name not in known]:
            call.warn(
                f"the state does not know {', '.join(strangers)}, and keeps nothing of their health: run sync.yml"
            )
        states = {name: one.health.state for name, one in found.items()}
        result: Result = {
            "changed": any(_verdict(change.before) != _verdict(change.after) for change in changes)
            or bool(drains.drained or drains.resumed)
            or any(one.installed for one in found.values()),
            "drained": drains.drained,
            "resumed": drains.resumed,
            "spared": drains.spared,
            "nodes": {name: one.health.model_dump(mode="json") for name, one in found.items()},
            "unreachable_nodes": silent,
        }
        bad = [name for name, state in states.items() if state in call.params["fail_on"]]
        if bad:
            told = "; ".join(f"{name} is {states[name]}: {found[name].health.reason}" for name in bad)
            result |= {"failed": True, "msg": f"{counted(len(bad), 'node')} of {len(hosts)} cannot be used: {told}"}
        return result


def _verdict(document: Result | None) -> tuple[object, ...]:
    """What makes a difference; numbers, scores and times differ each time."""
    health = (document or {}).get("health") or {}
    alerts = [(alert["check"], alert["entity"], alert["status"]) for alert in health.get("alerts", [])]
    return health.get("state"), health.get("check"), health.get("vital"), alerts
