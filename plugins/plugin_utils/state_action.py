# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State modules in the control process: the same function that the module runs, without shipping it anywhere."""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase

with suppress(ImportError):  # MISSING of the module, below, says what is missing
    from ..module_utils.door.call import Call, answered
    from .task_call import task_call


class StateAction(ActionBase):
    """Answers a task as its module would, in this process: nothing is copied, no interpreter started (0.5 s a task).

    The store is on the control node, so the answer is the same whatever host the task is for. Only a task delegated
    to a host that is not local has its module run there, with the store of that host.
    """

    module: ModuleType
    """The module of the same name: its ``INTERFACE``, its ``answer``, and ``MISSING``: why that cannot be imported."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the task."""
        task_vars = task_vars or {}
        super().run(tmp, task_vars)
        if self._task.delegate_to and self._connection.transport != "local":
            return self._execute_module(task_vars=task_vars)
        if self.module.MISSING is not None:
            return {"failed": True, "msg": missing_required_lib(self.module.MISSING.name)}
        interface = {key: value for key, value in self.module.INTERFACE.items() if key != "supports_check_mode"}
        return answered(self.module.answer, self._call(interface, task_vars))

    def _call(self, interface: dict[str, Any], task_vars: dict[str, Any]) -> Call:
        return task_call(self, interface, task_vars)
