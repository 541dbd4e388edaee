# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One verb of the agent on many hosts at once. Documentation: the module of the same name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.fleet_action import FleetAction

try:
    from ..module_utils.door.call import Call, Result
    from ..module_utils.model import MusterError
    from ..module_utils.remote import AgentReply, fan_out
except ImportError:  # FleetAction says what is missing
    pass

TIMEOUT_S = 60.0


class ActionModule(FleetAction):
    """Runs in the control process, once for all hosts."""

    interface = {
        "argument_spec": {
            "store": {"type": "str"},
            "verb": {"type": "str", "default": "inventory", "choices": ["inventory", "status", "check", "version"]},
            "hosts": {"type": "list", "elements": "str"},
            "require_all": {"type": "bool", "default": False},
        }
    }

    def answer(self, call: Call) -> Result:
        """The result of the task."""
        hosts = list(self.fleet.play_hosts if call.params["hosts"] is None else call.params["hosts"])
        self.fleet.prepare(hosts)
        replies = {
            name: outcome.value if outcome.value is not None else outcome.error
            for name, outcome in fan_out({name: self._asker(name, call) for name in hosts}).items()
        }
        answered = {name: reply for name, reply in replies.items() if isinstance(reply, AgentReply) and reply.ok}
        silent = {name: _why(reply) for name, reply in replies.items() if name not in answered}
        missing = [
            name for name in silent if call.check_mode and _code(replies[name]) in ("agent_missing", "agent_outdated")
        ]
        nodes = []
        for name, reply in answered.items() if call.params["verb"] == "inventory" else ():
            found = reply.payload["node"]
            if found["nvml"]["status"] == "error":
                silent[name] = f"NVML on {name} fails, so that its GPUs are not known: {found['nvml']['detail']}"
            else:
                nodes.append(
                    self.fleet.facts(name) | {key: found[key] for key in ("gpus", "cpus", "memory_mib", "boot_id")}
                )
        for name in missing:
            call.say(f"{name} would get the agent")
            del silent[name]
        for name, why in silent.items():
            call.warn(f"{name} is left out: {why}" if name not in why else f"left out: {why}")
        call.cluster().contacted(list(answered), {n: w for n, w in silent.items() if n not in answered})
        result: Result = {
            "changed": bool(missing) or any(reply.installed for reply in answered.values()),
            "answers": {name: reply.payload for name, reply in answered.items()},
            "nodes": nodes,
            "unreachable_nodes": silent,
            "installed": missing or [name for name, reply in answered.items() if reply.installed],
        }
        if silent and (call.params["require_all"] or len(silent) == len(hosts)):
            whom = "none" if len(silent) == len(hosts) else f"not all ({len(hosts) - len(silent)})"
            result |= {"failed": True, "msg": f"{whom} of {len(hosts)} nodes can be used: {'; '.join(silent.values())}"}
        return result

    def _asker(self, name: str, call: Call) -> Any:
        def ask() -> AgentReply:
            client = self.fleet.dial(name)
            try:
                return client.call([call.params["verb"]], timeout_s=TIMEOUT_S)
            finally:
                client.close()

        return ask


def _why(reply: AgentReply | Exception | None) -> str:
    if isinstance(reply, MusterError | Exception):
        return str(reply)
    return str(reply.error) if reply is not None else "no answer"


def _code(reply: AgentReply | Exception | None) -> str:
    return reply.error.code if isinstance(reply, AgentReply) and reply.error else ""
