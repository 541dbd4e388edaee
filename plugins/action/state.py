# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of the module of the same name: see there."""

from __future__ import annotations

from ..modules import state
from ..plugin_utils.state_action import StateAction


class ActionModule(StateAction):
    """Runs in the control process."""

    module = state
