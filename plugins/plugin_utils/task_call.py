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
from .origin import origin_of, user_of
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
        actor=user_of(task_vars),
        origin=origin_of(task_vars.get("ansible_play_name"), task_vars),
    )
