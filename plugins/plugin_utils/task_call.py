# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a task, as an action plugin sees it, to a call of the library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.door.call import Call, plain
from ..module_utils.store import actor
from .store_option import store_option

_display = Display()


def task_call(action: ActionBase, interface: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Call:
    """The call that a task asks for. ``interface``: the arguments of ``validate_argument_spec``, which this obeys."""
    action._load_name = action._task.resolved_action  # the name that errors give the module
    _result, parameters = action.validate_argument_spec(**interface)
    return Call(
        params=plain(parameters | {"store": store_option(action._task.args, task_vars, action._templar)}),
        check_mode=action._task.check_mode,
        diff=action._task.diff,
        warn=_display.warning,
        say=_display.display,
        actor=actor("ansible", str(task_vars.get("awx_user_name") or "")),
        origin=_origin(task_vars),
    )


def _origin(task_vars: Mapping[str, Any]) -> str:
    """The play, and the job of AWX, which names itself and its user in extra variables."""
    play, job = task_vars.get("ansible_play_name"), task_vars.get("awx_job_id")
    return ", ".join([*([f"play {play}"] if play else []), *([f"AWX job {job}"] if job else [])])
