# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which store: the same option for modules (``muster.training.store``) and plugins (``...store.plugin``)."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible reads the options from here; ``plugin_utils/store_option.py`` reads them for the action plugins."""

    DOCUMENTATION = r"""
options:
  store:
    description:
      - "Where the state of the cluster is kept: a directory on the control node."
      - If not set, the variable C(muster_store) decides, then the environment variable E(MUSTER_STORE), then C(store)
        in the section C([muster]) of C(ansible.cfg), and at last C(~/.local/state/muster).
      - Set it once for all modules with C(group/muster.training.cluster) in C(module_defaults).
    type: str
"""

    PLUGIN = r"""
options:
  store:
    description:
      - "Where the state of the cluster is kept: a directory on the control node."
      - The default is C(~/.local/state/muster).
    type: str
    vars:
      - name: muster_store
    env:
      - name: MUSTER_STORE
    ini:
      - section: muster
        key: store
"""
