# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin: the nodes of the state as hosts, grouped by what the state knows about them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_state
short_description: Nodes of a Muster cluster as inventory hosts
description:
  - Each node of the state becomes a host that is reached as it was when it was synced, with what the state knows about
    it in variables that begin with C(muster_).
  - The file must be named C(cluster_state.yml), C(cluster_state.yaml), or end so.
  - The inventory shows the state at the moment in which it is read.
version_added: 0.1.0
author:
  - The Muster authors (@muster-training)
requirements:
  - pydantic >= 2.7 and tinydb >= 4.8 on the control node
extends_documentation_fragment:
  - ansible.builtin.constructed
  - muster.training.store.plugin
notes:
  - How a host is reached is taken from its record. A host that only Ansible can reach (in a container, with a password)
    has no such record and gets no connection variables.
  - Of variables, only extra variables (C(-e muster_store=...)) can name the store, since inventories are read before
    all others.
options:
  plugin:
    description: Marks the file as one for this plugin.
    type: str
    required: true
    choices: [muster.training.cluster_state]
  where:
    description:
      - Only nodes whose fields all have these values, as in the lookup P(muster.training.cluster_state#lookup).
    type: dict
    default: {}
  group_by:
    description:
      - By what nodes are grouped.
      - V(status) makes groups such as C(status_idle) and C(status_unreachable).
      - V(labels) makes C(label_KEY_VALUE) for each label.
      - V(gpu_model) makes C(gpu_MODEL), and C(gpu_unknown) for nodes without a GPU.
      - Letters that a group's name may not have become underscores.
    type: list
    elements: str
    choices: [status, labels, gpu_model]
    default: [status, labels, gpu_model]
"""

EXAMPLES = r"""
# training_cluster_state.yml. Only the first line is needed: then it has all nodes of the default store in all groups.
plugin: muster.training.cluster_state
store: /srv/muster/state
where:
  labels.kind: training
group_by: [status]
keyed_groups:
  - key: muster_labels.rack
    prefix: rack
groups:
  has_room: muster_free > 0
compose:
  ntp_server: "'ntp-' ~ muster_labels.rack"
"""

from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import to_safe_group_name
from ansible.module_utils.basic import missing_required_lib
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable

try:
    from ..module_utils.model import MusterError
    from ..plugin_utils.documents import check_field, matching
    from ..plugin_utils.host_vars_of_node import host_variables
    from ..plugin_utils.state_reader import current_view

    MISSING: ImportError | None = None
except ImportError as error:
    MISSING = error


class InventoryModule(BaseInventoryPlugin, Constructable):
    """Hosts in rank order."""

    NAME = "muster.training.cluster_state"

    def verify_file(self, path: str) -> bool:
        """Whether the file is one of ours, by its name."""
        return bool(super().verify_file(path)) and path.endswith(("cluster_state.yml", "cluster_state.yaml"))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Add the nodes of the state to ``inventory``."""
        super().parse(inventory, loader, path, cache)
        if MISSING is not None:
            raise AnsibleParserError(missing_required_lib(str(MISSING.name)))
        self._read_config_data(path)
        where = self.get_option("where")
        try:
            nodes = current_view(self.get_option("store")).nodes
            for field in where:
                check_field("nodes", nodes, field)
            hosts = {node["name"]: (node, host_variables(node)) for node in matching(nodes, where)}
        except MusterError as error:
            raise AnsibleParserError(str(error)) from error
        for name, (node, variables) in hosts.items():
            self._add(name, node, variables)

    def _add(self, name: str, node: dict[str, Any], variables: dict[str, Any]) -> None:
        self.inventory.add_host(name)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        for group in self._groups_of(node):
            self.inventory.add_host(name, self.inventory.add_group(to_safe_group_name(group, force=True, silent=True)))
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)

    def _groups_of(self, node: dict[str, Any]) -> list[str]:
        by = self.get_option("group_by")
        groups = [f"status_{node['status']}"] if "status" in by else []
        if "labels" in by:
            groups += [f"label_{key}_{value}" for key, value in node["labels"].items()]
        if "gpu_model" in by:
            models = sorted({gpu["model"] for gpu in node["gpus"]}) or [node["gpu_model"]]
            groups += [f"gpu_{model}" for model in models]
        return groups
