# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an action plugin reaches many hosts by itself: which transport each one gets, from what the inventory says.

Plain ssh goes over Fabric, a host that is this machine runs commands directly, and everything else (become, passwords,
containers, arguments that only ssh knows) goes over Ansible's own connection plugin. The host variable
``muster_transport`` forces it: ``fabric`` (become then is ``sudo -n``), ``ansible``, or ``auto`` (the default).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase

from ..module_utils.model.errors import InvalidInput
from ..module_utils.remote import AgentClient, Dialer, Target, Transport, preload, transport_to
from .addresses import address_of
from .ansible_transport import AnsibleTransport, PlainThenAnsible
from .host_variables import HostVariables
from .targets import python_of, state_dir_of, target_of

# Ansible loads an action in its main process before it forks a worker for each task: imported here, Fabric costs its
# 0.2 s only once. Where it is missing, hosts reached by ssh go over Ansible's plugin.
with suppress(ImportError):
    preload()

CHOICES = ("auto", "fabric", "ansible")


@dataclass(frozen=True)
class Access:
    """One host: the way to it, and what its record should say about that way."""

    name: str
    transport: Transport
    target: Target | None
    """How the CLI reaches it without Ansible; None where only Ansible can."""
    python: str
    state_dir: str
    address: Callable[[], str]
    """Gives the IP address at which the other nodes reach it. Raises InvalidInput when there is none."""

    def agent(self, version: str, build: Callable[[], bytes], may_install: bool = True) -> AgentClient:
        """A client of this host's agent. Clients of one host share its connection, and may be closed one by one."""
        return AgentClient(
            self.transport,
            version=version,
            build=build,
            python=self.python,
            state_dir=self.state_dir,
            may_install=may_install,
        )


class Connections(Mapping[str, Access]):
    """The ways to some hosts: prepared in the main thread (4 ms a host), then used from any thread.

    :raises AnsibleError: a host is not in the inventory, or one of its variables cannot be templated.
    :raises InvalidInput: a host variable of ours is wrong.
    """

    def __init__(self, action: ActionBase, hosts: Iterable[str]) -> None:
        self._dialer = Dialer()
        self._accesses = {str(host): self._access(HostVariables(action, str(host))) for host in hosts}

    def __getitem__(self, host: str) -> Access:
        return self._accesses[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._accesses)

    def __len__(self) -> int:
        return len(self._accesses)

    def close(self) -> None:
        """Close all connections over which no command is running."""
        for access in self._accesses.values():
            access.transport.close()
        self._dialer.close()

    def _access(self, variables: HostVariables) -> Access:
        connection = variables.connection()
        target = target_of(variables, connection)
        return Access(
            name=variables.name,
            transport=self._transport(variables, connection, target),
            target=target,
            python=python_of(variables),
            state_dir=state_dir_of(variables),
            address=partial(address_of, variables, target, self._dialer),
        )

    def _transport(self, variables: HostVariables, connection: ConnectionBase, target: Target | None) -> Transport:
        name = variables.name
        choice = variables.text("muster_transport") or "auto"
        if choice not in CHOICES:
            raise InvalidInput(f"muster_transport of {name} is {choice!r}", f"it is one of {', '.join(CHOICES)}")
        ansible = partial(AnsibleTransport, name, connection, connection._play_context.executable)
        if choice == "fabric":
            if target is None or target.transport != "ssh":
                raise InvalidInput(
                    f"muster_transport of {name} is 'fabric', but {name} is not reached by plain ssh",
                    "leave it at 'auto'",
                )
            return transport_to(target, self._dialer)
        if choice == "ansible" or target is None or connection.become is not None:
            return ansible()
        plain = transport_to(target, self._dialer)
        return plain if target.transport == "local" else PlainThenAnsible(plain, ansible)
