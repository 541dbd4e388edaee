# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugins that speak to many nodes at once: the nodes of the play by its connections, others by the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase

try:
    from ..module_utils.agent.package import AgentBuildError, build, version
    from ..module_utils.cluster import Cluster
    from ..module_utils.door.call import Call, answered, plain
    from ..module_utils.gang import settle_gangs
    from ..module_utils.model import InvalidInput, Job
    from ..module_utils.remote import AgentClient, Dialer, Reply, Target, client_for, transport_to
    from .connections import Access, Connections
    from .task_call import task_call

    MISSING: ImportError | None = None
except ImportError as error:
    MISSING = error


WOULD_INSTALL = ("agent_missing", "agent_outdated")
"""Why a node does not answer in check mode, though it would once it has been given the agent."""


class NoWay:
    """The transport of a node that has left the inventory, and of which the state does not say how to reach it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *_arguments: Any) -> Reply:
        """As in ``Transport``: nothing is run."""
        why = f"{self.name} is not in this inventory, and the state does not say how to reach it"
        return Reply(self.name, error=why, failure="setup")

    def close(self) -> None:
        """Nothing is open."""


class Fleet:
    """The agents of nodes, by the nodes' names. Prepare them in the main thread; dial from any."""

    def __init__(self, action: ActionBase, task_vars: Mapping[str, Any], *, may_install: bool) -> None:
        self._action = action
        self._hostvars = task_vars["hostvars"]
        self.play_hosts = [str(name) for name in task_vars["ansible_play_hosts_all"]]
        self._may_install = may_install
        self.version = version()
        self._access: dict[str, Access] = {}
        self._connections: list[Connections] = []
        self._dialer = Dialer()
        self._targets: dict[str, Target | None] = {}

    def prepare(self, nodes: Iterable[str], known: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Find the ways to ``nodes``; those that have left the inventory by their record in ``known`` (the state)."""
        new = [name for name in nodes if name not in self._access and name not in self._targets]
        here = [name for name in new if name in self._hostvars]
        if here:
            connections = Connections(self._action, here)
            self._connections.append(connections)
            self._access |= dict(connections)
        for name in new:
            if name not in self._access:
                record = (known or {}).get(name)
                self._targets[name] = Target.from_document(record) if record else None

    def prepare_for(self, cluster: Cluster, jobs: Iterable[Job]) -> None:
        """Find the ways to the nodes of these jobs, also to those that have left the inventory since."""
        known = {name: node.connection for name, node in cluster.nodes().items()}
        for job in jobs:
            self.prepare([part["node"] for part in job.attempt.plan["nodes"]] if job.attempt else [], known)

    def settle(self, cluster: Cluster, say: Callable[[str], None]) -> list[Job]:
        """Ask about jobs that nobody follows; end and release those that are over. Returns them, and says them."""
        self.prepare_for(cluster, cluster.held()[0])
        settled = settle_gangs(cluster, self.dial)
        for job in settled:
            say(f"{job.name} ({job.id}) was settled: {job.state}{': ' + job.reason if job.reason else ''}")
        return settled

    def dial(self, node: str) -> AgentClient:
        """A new client for the agent of ``node``."""
        self.prepare([node])
        if node in self._access:
            return self._access[node].agent(self.version, build, self._may_install)
        target = self._targets[node]
        if target is None:
            return AgentClient(NoWay(node), version=self.version, build=build)
        return client_for(target, transport_to(target, self._dialer), self.version, build, self._may_install)

    def access(self, node: str) -> Access:
        """The way to ``node``, an inventory host, whatever is installed there."""
        self.prepare([node])
        if node not in self._access:
            raise InvalidInput(f"{node} is not in this inventory", "name hosts as the inventory does")
        return self._access[node]

    def variable(self, node: str, name: str, default: Any) -> Any:
        """A variable of an inventory host, templated."""
        return self._hostvars[node].get(name, default)

    def facts(self, node: str) -> dict[str, Any]:
        """The inventory's part of a node's facts, as M(muster.training.node) takes them."""
        access, variables = self._access[node], self._hostvars[node]
        facts = {
            "name": node,
            "address": access.address(),
            "labels": variables.get("muster_labels") or {},
            "slots": variables.get("muster_slots"),
            "interface": variables.get("muster_interface"),
            "state_dir": access.state_dir,
            "connection": access.target.to_document() if access.target else {},
        }
        found: dict[str, Any] = plain({key: value for key, value in facts.items() if value is not None})
        return found

    def close(self) -> None:
        """Close every connection."""
        for connections in self._connections:
            connections.close()
        self._dialer.close()


class FleetAction(ActionBase):
    """An action whose ``answer`` may use ``fleet``. It runs in the control process, once for the whole play."""

    interface: dict[str, Any]
    """The arguments of ``validate_argument_spec``."""

    fleet: Fleet
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the task."""
        task_vars = task_vars or {}
        super().run(tmp, task_vars)
        if MISSING is not None:
            return {"failed": True, "msg": missing_required_lib(str(MISSING.name))}
        call = task_call(self, self.interface, task_vars)
        try:
            self.fleet = Fleet(self, task_vars, may_install=not call.check_mode)
        except AgentBuildError as error:
            return {"failed": True, "msg": str(error)}
        try:
            return answered(self.answer, call)
        except AnsibleError as error:
            return {"failed": True, "msg": str(error)}
        finally:
            self.fleet.close()

    def answer(self, call: Call) -> dict[str, Any]:
        """The result of the task; raises :class:`MusterError` for what the user can mend."""
        raise NotImplementedError
