# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks of the cluster, and how it is answered, whether a module or an action plugin carries it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, Protocol

from ..cluster import Cluster, open_cluster
from ..model import MusterError, NoCapacity
from ..store import actor

Result = dict[str, Any]


def _unheard(_text: str) -> None:
    """Nobody listens."""


def _nothing_settled() -> bool:
    """Nobody is asked."""
    return False


@dataclass(frozen=True)
class Call:
    """One task. ``warn`` reaches the user as a warning; ``say`` is news while the task is still running."""

    params: Mapping[str, Any]
    check_mode: bool = False
    diff: bool = False
    warn: Callable[[str], None] = _unheard
    say: Callable[[str], None] = _unheard
    settle: Callable[[], bool] = _nothing_settled
    """Asks the nodes of jobs that nobody follows whether these are over, and tells whether a lease came back by that.
    Only doors that reach nodes can."""

    actor: str = field(default_factory=partial(actor, "ansible"))
    origin: str = ""
    """Who is written with each change, and through what it was made: the play, and the job of AWX."""

    def cluster(self) -> Cluster:
        """The cluster of the task's store; in check mode one that decides and writes nothing."""
        return open_cluster(
            self.params["store"], actor=self.actor, origin=self.origin, dry_run=self.check_mode, tell=self.warn
        )


Answer = Callable[[Call], Result]


class Module(Protocol):
    """The part of AnsibleModule that is used here."""

    params: dict[str, Any]
    check_mode: bool
    _diff: bool

    def warn(self, warning: str) -> None: ...

    def debug(self, msg: str) -> None: ...

    def exit_json(self, **kwargs: Any) -> NoReturn: ...

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn: ...


def answered(answer: Answer, call: Call) -> Result:
    """The task's result: what ``answer`` says, or its failure in one sentence with a hint of what to do."""
    try:
        return {"changed": False} | answer(call)
    except MusterError as error:
        return {"failed": True, "changed": False, "msg": str(error), "error": _error(error)}


def run_module(module: Module, answer: Answer) -> NoReturn:
    """Answer as a module, in a process of its own."""
    call = Call(plain(module.params), module.check_mode, module._diff, module.warn, module.debug)
    result = answered(answer, call)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def plain(value: Any) -> Any:
    """``value`` of JSON's own types only: Ansible tags its strings and containers (data tagging, ansible-core 2.19)."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _error(error: MusterError) -> Result:
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    told: Result = {"code": code, "message": error.message, "hint": error.hint}
    return told | {"permanent": error.permanent} if isinstance(error, NoCapacity) else told
