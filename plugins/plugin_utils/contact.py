# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the result of a task proves that its host was contacted."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ansible.plugins.loader import action_loader

OURS = "muster.training."
"""What the names of our actions begin with."""

_NEVER_CONTACT = frozenset(
    f"ansible.builtin.{name}"
    for name in ("import_role", "import_tasks", "include_role", "include_tasks", "meta", "pause")
)
"""Actions that stay on the controller without saying so by ``_requires_connection``."""


def proves_contact(action: str, args: Mapping[str, Any], delegate_to: Any, *, failed: bool) -> bool:
    """Whether a task that ended like this had its own host do something.

    A task may fail on the controller (a wrong template, a missing file): only one whose module was sent proves a
    contact. Ansible adds arguments of its own to the task's then.
    """
    if delegate_to or not _needs_connection(action):
        return False
    return not failed or "_ansible_module_name" in args


@functools.cache
def _needs_connection(action: str) -> bool:
    if action in _NEVER_CONTACT:
        return False
    plugin = action_loader.get(action, class_only=True)
    if plugin is None:  # a module without an action plugin always runs on the host
        return True
    # Our own action plugins speak to nodes themselves, and write down themselves whom they reached.
    return not action.startswith(OURS) and bool(getattr(plugin, "_requires_connection", True))
