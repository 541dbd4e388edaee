# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of a node on which all is well, as its samplers give them, and ways to spoil them."""

from __future__ import annotations

import copy
from typing import Any

Facts = dict[str, Any]

GPU: Facts = {
    "index": 0,
    "errors": {"retired_sbe": "NOT_SUPPORTED", "retired_dbe": "NOT_SUPPORTED", "retired_pending": "NOT_SUPPORTED"},
    "uuid": "GPU-0",
    "model": "NVIDIA H100 80GB HBM3",
    "pci": "00000000:07:00.0",
    "vbios": "96.00.99.00.01",
    "memory": [551, 81559],
    "processes": [],
    "utilization": 0,
    "ecc_corrected": 0,
    "ecc_uncorrected": 0,
    "sram_exceeded": False,
    "remap": [0, 0, 0, 0],
    "temperature": 36,
    "temperature_slowdown": 89,
    "temperature_shutdown": 95,
    "temperature_memory_max": 95,
    "temperature_memory": 40,
    "throttle": 1,
    "power": 71.0,
    "power_limit": 700.0,
    "pcie_width": 16,
    "pcie_width_max": 16,
    "pcie_generation": 5,
    "pcie_generation_max": 5,
    "pcie_replays": 0,
    "nvlinks": {"active": 18, "inactive": [], "replay": 0, "recovery": 0, "crc": 0},
    "fabric": [3, 0],
    "recovery_action": 0,
    "persistence": True,
    "ecc_mode": True,
    "mig": False,
    "clock": 1980,
}

WELL: dict[str, Facts] = {
    "nvml": {"error": None, "driver": "570.124.06", "leased": []},
    "kernel": {"error": None, "events": []},
    "disks": {"/": {"free_gb": 77.5, "inodes_free": 95.7, "readonly": False, "unwritten": None}},
    "network": {"targets": {"10.0.0.1:22": {"milliseconds": [0.2] * 5, "failed": 0, "error": ""}}},
    "links": {"links": {"mlx5_0": {"up": True, "state": "ACTIVE", "gbps": 200.0, "downs": 0}}},
    "tasks": {"waiting": [], "zombies": 0},
    "system": {"available_mib": 21950, "synchronized": True, "services": {"ssh.service": "active"}},
    "torch": {"version": "2.13.0", "devices": 2, "wrong": []},
    "own": {"error": None, "found": {"smart": {"code": 0, "output": "all disks are well"}}},
}

SETTINGS: Facts = {
    "node": "n1",
    "expect": {"gpus": 2, "driver": "570.124.06", "persistence": True},
    "links": {"mlx5_0": 200},
    "targets": ["10.0.0.1:22"],
    "services": ["ssh.service"],
    "torch": {"python": "/opt/venv/bin/python"},
}


def gpu(index: int = 0, /, **other: Any) -> Facts:
    """A GPU that is well, but for `other`; a value of `errors` is added to those that it has."""
    facts = copy.deepcopy({**GPU, "index": index, "uuid": f"GPU-{index}"})
    errors = {**facts["errors"], **other.pop("errors", {})}
    facts.update(other, errors={key: error for key, error in errors.items() if key not in other})
    return {key: value for key, value in facts.items() if key not in facts["errors"]}


def nvml(*gpus: Facts, **other: Any) -> Facts:
    """What the sampler `nvml` says of two GPUs, of which `gpus` replace the first ones."""
    found = [*gpus, *(gpu(index) for index in range(len(gpus), 2))]
    return copy.deepcopy({**WELL["nvml"], "gpus": found, **other})


def well() -> dict[str, Facts]:
    """The facts of all samplers on a node on which all is well."""
    return copy.deepcopy({**WELL, "nvml": nvml()})
