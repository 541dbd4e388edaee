# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One verb of the agent on many hosts at once. Documentation: the module of the same name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..plugin_utils.fleet_action import WOULD_INSTALL, FleetAction

try:
    from ..module_utils.door.call import Call, Result
    from ..module_utils.model import MusterError
    from ..module_utils.remote import AgentReply, Outcome, fan_out
except ImportError:  # FleetAction says what is missing
    pass

TIMEOUT_S = 60.0
LOOK_TIMEOUT_S = 330.0  # of a look at a node whose monitor does not run: its slowest check, and some more


class ActionModule(FleetAction):
    """Runs in the control process, once for all hosts."""

    interface = {
        "argument_spec": {
            "store": {"type": "str"},
            "verb": {"type": "str", "default": "inventory", "choices": ["inventory", "status", "health", "version"]},
            "hosts": {"type": "list", "elements": "str"},
            "require_all": {"type": "bool", "default": False},
        }
    }

    def answer(self, call: Call) -> Result:
        """The result of the task."""
        hosts = list(self.fleet.play_hosts if call.params["hosts"] is None else call.params["hosts"])
        self.fleet.prepare(hosts)
        outcomes = fan_out({name: self._asker(name, call.params["verb"]) for name in hosts})
        answered = {name: one.value for name, one in outcomes.items() if one.value is not None and one.value.ok}
        silent = {name: _why(one) for name, one in outcomes.items() if name not in answered}
        missing = [name for name in silent if call.check_mode and _code(outcomes[name]) in WOULD_INSTALL]
        unreached = {name: why for name, why in silent.items() if name not in missing}
        nodes = []
        for name, reply in answered.items() if call.params["verb"] == "inventory" else ():
            try:
                nodes.append(self._node(name, reply.payload["node"]))
            except MusterError as error:
                silent[name] = str(error)
        for name in missing:
            call.say(f"{name} would get the agent")
            del silent[name]
        for name, why in silent.items():
            call.warn(f"{name} is left out: {why}" if name not in why else f"left out: {why}")
        call.cluster().contacted(list(answered), unreached)
        result: Result = {
            "changed": bool(missing) or any(reply.installed for reply in answered.values()),
            "answers": {name: reply.payload for name, reply in answered.items()},
            "nodes": nodes,
            "unreachable_nodes": silent,
            "installed": missing or [name for name, reply in answered.items() if reply.installed],
        }
        if silent and (call.params["require_all"] or len(silent) == len(hosts)):
            whom = "none" if len(silent) == len(hosts) else f"only {len(hosts) - len(silent)}"
            result |= {"failed": True, "msg": f"{whom} of {len(hosts)} nodes can be used: {'; '.join(silent.values())}"}
        return result

    def _asker(self, name: str, verb: str) -> Callable[[], AgentReply]:
        def ask() -> AgentReply:
            client = self.fleet.dial(name)
            try:
                return client.call([verb], timeout_s=LOOK_TIMEOUT_S if verb == "health" else TIMEOUT_S)
            finally:
                client.close()

        return ask

    def _node(self, name: str, found: Mapping[str, Any]) -> Result:
        """What the inventory and the agent say of a node; raises :class:`MusterError` if that is not enough."""
        if found["nvml"]["status"] == "error":
            raise MusterError(f"NVML on {name} fails, so that its GPUs are not known: {found['nvml']['detail']}")
        return self.fleet.facts(name) | {key: found[key] for key in ("gpus", "cpus", "memory_mib", "boot_id")}


def _why(outcome: Outcome[AgentReply]) -> str:
    return str(outcome.error or (outcome.value and outcome.value.error))


def _code(outcome: Outcome[AgentReply]) -> str:
    return outcome.value.error.code if outcome.value and outcome.value.error else ""
