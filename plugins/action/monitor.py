# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitors of many nodes, in one task. Documentation: the module of the same name."""

from __future__ import annotations

from ..plugin_utils.fleet_action import WOULD_INSTALL, FleetAction

try:
    import json
    from functools import partial

    from ..module_utils.door.call import Call, Result
    from ..module_utils.model import counted, natural
    from ..module_utils.remote import AgentReply, fan_out
    from ..plugin_utils.monitor_settings import settings_of
except ImportError:  # FleetAction says what is missing
    pass


TIMEOUT_S = 90.0
ACTIONS = {"present": "apply", "absent": "remove", "started": "start", "stopped": "stop", "restarted": "restart"}
STATES = [*ACTIONS, "reported"]


class ActionModule(FleetAction):
    """Runs in the control process, once for all hosts."""

    interface = {
        "argument_spec": {
            "store": {"type": "str"},
            "state": {"type": "str", "default": "present", "choices": STATES},
            "hosts": {"type": "list", "elements": "str"},
        }
    }

    def answer(self, call: Call) -> Result:
        """The result of the task."""
        hosts = list(self.fleet.play_hosts if call.params["hosts"] is None else call.params["hosts"])
        self.fleet.prepare(hosts)
        state = call.params["state"]
        settings = settings_of(self.fleet, call.cluster(), hosts) if state == "present" else {}
        outcomes = fan_out(
            {name: partial(self._ask, name, state, settings.get(name), call.check_mode) for name in hosts}
        )
        failures, monitors, without = {}, {}, []
        for name in sorted(hosts, key=natural):
            reply, error = outcomes[name].value, outcomes[name].error
            if call.check_mode and reply and reply.error and reply.error.code in WOULD_INSTALL:
                without.append(name)
                call.say(f"{name} would get the agent first")
                continue
            if reply is None or reply.error:
                failures[name] = str(reply.error if reply else error)
                continue
            monitors[name] = dict(reply.payload["monitor"])
            if reply.installed:
                monitors[name] |= {
                    "changed": True,
                    "changes": ["the agent is put there", *monitors[name].get("changes", [])],
                }
            if told := monitors[name].get("changes"):
                call.say(f"{name}: {', '.join(told)}")
        changed = bool(without) or any(one["changed"] for one in monitors.values())
        result: Result = {"changed": changed, "monitors": monitors}
        if call.diff:
            result["diff"] = [
                {
                    "before_header": f"{name}:{one['path']}",
                    "after_header": f"{name}:{one['path']}",
                    "before": one["before"],
                    "after": one["after"],
                }
                for name, monitor in monitors.items()
                for one in monitor.get("diff", [])
            ]
        for monitor in monitors.values():
            monitor.pop("diff", None)
        if failures:
            told = "; ".join(why if name in why else f"{name}: {why}" for name, why in failures.items())
            result |= {"failed": True, "failures": failures}
            result["msg"] = f"the monitor of {counted(len(failures), 'node')} of {len(hosts)} is not {state}: {told}"
        return result

    def _ask(self, name: str, state: str, settings: Result | None, dry_run: bool) -> AgentReply:
        words = ["monitor", "--action", ACTIONS.get(state, "status")]
        content: bytes | None = None
        if state == "present":
            content = json.dumps({"settings": settings, "dry_run": dry_run}).encode()
        elif dry_run:
            words.append("--dry-run")
        client = self.fleet.dial(name)
        try:
            return client.call(words, content, timeout_s=TIMEOUT_S)
        finally:
            client.close()
