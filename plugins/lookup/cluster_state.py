# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup: nodes, jobs and leases of the state in templates."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_state
short_description: Look up nodes, jobs and leases of a Muster cluster
description:
  - Returns documents of the state, with everything that is derived filled in, as M(muster.training.node_info) does.
  - The state is read without locks, and again only when it has changed.
version_added: 0.1.0
author:
  - The Muster authors (@muster-training)
requirements:
  - pydantic >= 2.7 and tinydb >= 4.8 on the control node
extends_documentation_fragment:
  - muster.training.store.plugin
notes:
  - Like all lookups it runs on the control node.
  - C(query) always gives a list. C(lookup) gives the thing itself where one is found, and joins strings by
    commas where several are.
  - A store that does not exist yet is empty, and so is the answer.
  - Values that looked secret were never stored.
options:
  _terms:
    description: Which documents, V(nodes), V(jobs) or V(leases). Several are returned one after the other.
    required: true
    type: list
    elements: str
  name:
    description:
      - Only the one with this name or id; of several jobs of one name, the latest.
      - Nothing is returned when there is none.
    type: str
  where:
    description:
      - Only those whose fields all have these values. Fields of fields are written with dots (C(labels.rack)).
      - A list as the value means any of its items; a field that is a list matches by any of its items.
    type: dict
  field:
    description: Of each, only this field. Null where a document does not have it.
    type: str
"""

EXAMPLES = r"""
- name: Show the names of all idle nodes of one rack
  ansible.builtin.debug:
    msg: "{{ query('muster.training.cluster_state', 'nodes', where=wanted, field='name') }}"
  vars:
    wanted:
      status: idle
      labels.rack: r1

- name: Show where a job runs
  ansible.builtin.debug:
    msg: "{{ lookup('muster.training.cluster_state', 'jobs', name='ring').nodes }}"

- name: Show jobs that wait or run
  ansible.builtin.debug:
    msg: "{{ item.id }} of {{ item.submitted_by }} is {{ item.state }}"
  loop: "{{ query('muster.training.cluster_state', 'jobs', where={'state': ['QUEUED', 'RUNNING']}) }}"
  loop_control:
    label: "{{ item.name }}"

- name: Refuse to reboot a node that is in use
  ansible.builtin.assert:
    that: query('muster.training.cluster_state', 'leases', where=held) | length == 0
  vars:
    held:
      node: "{{ inventory_hostname }}"
"""

RETURN = r"""
_list:
  description:
    - The documents, or with O(field) the values.
    - Nodes come in rank order, jobs with the oldest first.
  type: list
  elements: raw
"""

import copy
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.lookup import LookupBase

try:
    from ..module_utils.model import MusterError, nearest
    from ..plugin_utils.documents import check_field, documents_of, matching, value_at
    from ..plugin_utils.state_reader import current_view

    MISSING: ImportError | None = None
except ImportError as error:
    MISSING = error


class LookupModule(LookupBase):
    """Answers from one consistent view of the state."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """The documents of all tables that ``terms`` name, or one field of each."""
        if MISSING is not None:
            raise AnsibleError(missing_required_lib(str(MISSING.name)))
        self.set_options(var_options=self._store_variable(variables or {}), direct=kwargs)
        try:
            self._refuse_unknown(kwargs)
            view = current_view(self.get_option("store"))
            return [found for table in self._flatten(terms) for found in self._answer(view, str(table))]
        except MusterError as error:
            raise AnsibleError(str(error)) from error

    def _answer(self, view: Any, table: str) -> list[Any]:
        where, field, name = self.get_option("where") or {}, self.get_option("field"), self.get_option("name")
        documents = documents_of(view, table, name)
        for path in (*where, *([field] if field else [])):
            check_field(table, documents, path)
        found = matching(documents, where)
        return copy.deepcopy([value_at(row, field) for row in found] if field else found)

    def _store_variable(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The variable that may name the store, templated: lookups get their variables as they were written."""
        return {name: self._templar.template(variables[name]) for name in ("muster_store",) if name in variables}

    def _refuse_unknown(self, given: dict[str, Any]) -> None:
        """Ansible takes any option without a word, and an option with a typo would widen the question."""
        for option in given.keys() - self._options.keys():
            meant = nearest(option, self._options)
            raise AnsibleError(f"there is no option {option!r}" + (f" (did you mean {meant}?)" if meant else ""))
