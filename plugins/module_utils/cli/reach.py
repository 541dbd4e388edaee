# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes as the command reaches them: over the connections that the state has of them, without an inventory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..agent import package
from ..model import InvalidInput, MusterError, NotFound
from ..remote import AgentClient, Dial, Dialer, Target, client_for, transport_to

Document = dict[str, Any]


@contextmanager
def reaching(nodes: Iterable[Document]) -> Iterator[Dial]:
    """A dial to the agents of ``nodes``, as the state has them. It raises :class:`NotFound` for a node that is not
    among them, and :class:`InvalidInput` for one whose connection cannot be used."""
    connections = {node["name"]: node["connection"] for node in nodes}
    version, dialer = _agent_version(), Dialer()

    def dial(name: str) -> AgentClient:
        if name not in connections:
            raise NotFound(f"{name} is not in the state any more")
        try:
            target = Target.from_document(connections[name])
        except InvalidInput as error:
            raise InvalidInput(f"{name}: {error.message}", error.hint) from error
        return client_for(target, transport_to(target, dialer), version, package.build)

    try:
        yield dial
    finally:
        dialer.close()


def _agent_version() -> str:
    try:
        return package.version()
    except package.AgentBuildError as error:
        raise MusterError(error.message, error.hint) from error
