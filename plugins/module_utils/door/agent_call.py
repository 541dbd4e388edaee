# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the agent of the node on which a module runs. Only the standard library is there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

Document = dict[str, Any]

OPTIONS: Document = {"state_dir": {"type": "path", "default": "/var/lib/muster"}, "agent": {"type": "path"}}
"""The part of the argument spec that says which agent to ask."""

SHOWN = 300
"""How many characters of an answer that is not the agent's are shown."""


class NodeModule(Protocol):
    """The part of AnsibleModule that is used here."""

    params: Document

    def run_command(
        self, args: Sequence[str], *, data: str | None = None, expand_user_and_vars: bool = True
    ) -> tuple[int, str, str]: ...

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn: ...


class Refused(Exception):
    """The agent did not do what it was asked. ``payload``: its whole answer, empty if it gave none."""

    def __init__(self, code: str, message: str, hint: str, payload: Document) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.payload = payload

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


def ask_agent(module: NodeModule, *words: object, request: Document | None = None) -> Document:
    """The agent's answer to the verb and options ``words``, with ``request`` on its stdin. Raises :class:`Refused`."""
    state_dir = module.params["state_dir"]
    path = module.params["agent"] or os.path.join(state_dir, "bin", "muster-agent.pyz")
    if not os.access(path, os.R_OK):
        hint = "run the playbook muster.training.provision, or set state_dir to the node's muster_state_dir"
        raise Refused("agent_missing", f"there is no agent at {path} on {os.uname().nodename}", hint, {})
    # -I and -S: the agent needs nothing of that Python's site, and starts faster without.
    command = [sys.executable, "-I", "-S", path, "--state-dir", state_dir, *map(str, words)]
    stdin = None if request is None else json.dumps(request)
    code, output, complaint = module.run_command(command, data=stdin, expand_user_and_vars=False)
    payload = _payload(output)
    if code == 0 and payload.get("ok") is True:
        return payload
    error = payload.get("error") or {}
    shown = " ".join((complaint or output).split())[-SHOWN:] or "it printed nothing"
    raise Refused(
        code=error.get("code", "no_answer"),
        message=error.get("message", f"{path} did not answer as an agent does (exit code {code}): {shown}"),
        hint=error.get("hint") or "",
        payload=payload,
    )


def attempts(module: NodeModule, job: str | None = None, attempt: int | None = None) -> list[Document]:
    """The status of all attempts that the node knows, of those of a job, or of one; empty if it knows none such."""
    words: list[object] = []
    if job is not None:
        words += ["--job", job]
    if attempt is not None:
        words += ["--attempt", attempt]
    try:
        found: list[Document] = ask_agent(module, "status", *words)["attempts"]
    except Refused as refused:
        if refused.code == "no_such_job":
            return []
        raise
    return found


def fail(module: NodeModule, refused: Refused, **result: Any) -> NoReturn:
    """End the module with the agent's sentence."""
    error = {"code": refused.code, "message": refused.message, "hint": refused.hint}
    module.fail_json(str(refused), error=error, **result)


def _payload(output: str) -> Document:
    """The one JSON object in ``output``, or an empty one."""
    try:
        found = json.loads(output)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "protocol" in found else {}
