# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of the module of the same name: see there."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

from ..modules import allocation
from ..plugin_utils.fleet_action import Fleet
from ..plugin_utils.state_action import StateAction

with suppress(ImportError):  # StateAction says what is missing
    from ..module_utils.agent.package import AgentBuildError
    from ..module_utils.door.call import Call


class ActionModule(StateAction):
    """Runs in the control process. Unlike the module, it can ask the nodes of jobs that hold what is missing."""

    module = allocation

    def _call(self, interface: dict[str, Any], task_vars: dict[str, Any]) -> Call:
        call = super()._call(interface, task_vars)

        def settle() -> bool:
            try:
                fleet = Fleet(self, task_vars, may_install=True)
            except AgentBuildError as error:
                call.warn(f"jobs that nobody follows cannot be asked about: {error}")
                return False
            with closing(fleet):
                return bool(fleet.settle(call.cluster(), call.say))

        return replace(call, settle=settle)
