#!/usr/bin/python
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: Tells which GPUs a node has
version_added: 0.1.0
author: The Muster authors (@muster-training)
description:
  - Returns the GPUs of a node as its driver knows them, through NVML.
  - A node without GPUs is no error. It has none, and RV(nvml.status) is V(absent).
extends_documentation_fragment:
  - muster.training.agent
  - muster.training.attributes
  - muster.training.attributes.info
seealso:
  - module: muster.training.node
"""

EXAMPLES = r"""
- name: Which GPUs are there?
  muster.training.gpu_info:
  register: found

- name: Refuse a node whose driver does not work
  ansible.builtin.assert:
    that: found.nvml.status != "error"
    fail_msg: "{{ found.nvml.detail }}"
"""

RETURN = r"""
gpus:
  description: The GPUs in the order of their indices. Empty if there is none.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: NVML's index.
      type: int
    uuid:
      description: Its uuid, by which it is leased.
      type: str
    model:
      description: The name of its model.
      type: str
    memory_mib:
      description: Its memory.
      type: int
    pci:
      description: Its PCI address.
      type: str
    mig:
      description: Whether MIG mode is on, or null if it has none.
      type: bool
  sample:
    - index: 0
      uuid: GPU-5f6d0000-0000-0000-0000-000000000001
      model: NVIDIA H100 80GB HBM3
      memory_mib: 81559
      pci: "00000000:1B:00.0"
      mig: false
nvml:
  description: How asking NVML went.
  returned: success
  type: dict
  contains:
    status:
      description:
        - V(ok), V(absent) if there is no NVML library, or V(error).
        - With V(error), GPUs may be missing from RV(gpus), and there is a warning.
      type: str
    detail:
      description: What is wrong, or null.
      type: str
    driver:
      description: The version of the driver, or null.
      type: str
error:
  description: The failure for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: The agent's word for it, or V(agent_missing), or V(no_answer).
      type: str
    message:
      description: What is wrong.
      type: str
    hint:
      description: What to do.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.door.agent_call import OPTIONS, Refused, ask_agent, fail


def main():
    module = AnsibleModule(argument_spec={**OPTIONS}, supports_check_mode=True)
    try:
        node = ask_agent(module, "inventory")["node"]
    except Refused as refused:
        fail(module, refused)
    if node["nvml"]["status"] == "error":
        module.warn(f"the GPUs of {node['hostname']} cannot be told: {node['nvml']['detail']}")
    module.exit_json(changed=False, gpus=node["gpus"], nvml=node["nvml"])


if __name__ == "__main__":
    main()
