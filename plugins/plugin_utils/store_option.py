# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``store`` where Ansible itself does not resolve it: in action plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from ansible import constants as C

from ..doc_fragments.store import ModuleDocFragment

# The same definition that lookups, callbacks and inventories extend: one order everywhere. Ansible's configuration is
# asked under a name of its own, since it keeps no definitions for action plugins.
_OWNER = {"plugin_type": "action", "plugin_name": "muster.training.store"}
C.config.initialize_plugin_configuration_definitions(
    _OWNER["plugin_type"], _OWNER["plugin_name"], yaml.safe_load(ModuleDocFragment.PLUGIN)["options"]
)


def store_option(args: Mapping[str, Any], task_vars: Mapping[str, Any], templar: Any) -> str | None:
    """The store of a task: its option, ``muster_store``, ``MUSTER_STORE``, ``ansible.cfg``; None: the default."""
    variables = {"muster_store": templar.template(task_vars["muster_store"])} if "muster_store" in task_vars else {}
    value = C.config.get_config_value("store", direct=dict(args), variables=variables, **_OWNER)
    return str(value) if value else None
