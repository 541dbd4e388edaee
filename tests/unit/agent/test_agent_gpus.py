# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GPUs as the driver tells, through a stand-in for NVIDIA's library."""

import os
from pathlib import Path

import pytest

from tests.fakenvml import FakeNvml
from tests.unit.agent.node import Node


@pytest.fixture
def nvml(tmp_path: Path) -> FakeNvml:
    return FakeNvml(tmp_path / "nvml", gpus=2)


@pytest.fixture
def gpu_node(node: Node, nvml: FakeNvml) -> Node:
    node.env = nvml.environment()
    return node


def test_a_node_without_the_library_has_no_gpus_and_that_is_no_error(node: Node) -> None:
    found = node.call("inventory").payload["node"]
    if found["nvml"]["driver"]:
        pytest.skip("this machine has GPUs")
    assert (found["gpus"], found["nvml"]) == ([], {"status": "absent", "detail": None, "driver": None})


def test_gpus_are_described(gpu_node: Node, nvml: FakeNvml) -> None:
    nvml.set("driver_version", "570.124.06")
    nvml.set("mig", "1", gpu=0)
    nvml.set("mig", "N/A", gpu=1)
    found = gpu_node.call("inventory").payload["node"]
    assert found["nvml"] == {"status": "ok", "detail": None, "driver": "570.124.06"}
    assert [gpu["uuid"] for gpu in found["gpus"]] == nvml.uuids
    assert [gpu["index"] for gpu in found["gpus"]] == [0, 1]
    assert [gpu["mig"] for gpu in found["gpus"]] == [True, None]
    assert {gpu["model"] for gpu in found["gpus"]} == {"NVIDIA H100 80GB HBM3"}
    assert {gpu["memory_mib"] for gpu in found["gpus"]} == {81559}
    assert found["gpus"][0]["pci"].lower() == "00000000:07:00.0"


def test_a_driver_that_does_not_answer_is_an_error_and_not_a_node_without_gpus(gpu_node: Node, nvml: FakeNvml) -> None:
    nvml.set("fault.nvmlInit", "error:DRIVER_NOT_LOADED")
    found = gpu_node.call("inventory").payload["node"]
    assert found["nvml"]["status"] == "error"
    assert "Driver Not Loaded" in found["nvml"]["detail"]
    health = gpu_node.call("health", "--source", "live").payload["health"]
    assert (health["state"], health["reason"]) == ("unhealthy", "NVML does not start: DRIVER_NOT_LOADED")


def test_a_gpu_that_is_lost_does_not_hide_the_others(gpu_node: Node, nvml: FakeNvml) -> None:
    nvml.set("fault", "lost", gpu=0)
    found = gpu_node.call("inventory").payload["node"]
    assert [gpu["uuid"] for gpu in found["gpus"]] == nvml.uuids[1:]
    assert found["nvml"]["status"] == "error"
    assert found["nvml"]["detail"].startswith("GPU 0: ")


def test_a_driver_that_crashes_is_an_error(gpu_node: Node, nvml: FakeNvml) -> None:
    nvml.set("fault.nvmlDeviceGetName", "crash", gpu=1)
    found = gpu_node.call("inventory").payload["node"]
    assert (found["gpus"], found["nvml"]["status"]) == ([], "error")
    assert "killed by signal 11" in found["nvml"]["detail"]


def test_a_job_starts_on_gpus_that_are_there_and_locks_them(gpu_node: Node, nvml: FakeNvml) -> None:
    assert gpu_node.start(gpu_node.spec(["sleep", "600"], gpus=nvml.uuids[:1])).exit_code == 0
    assert gpu_node.start(gpu_node.spec(["true"], gpus=nvml.uuids)).codes() == [("n1", "locked")]
    assert gpu_node.start(gpu_node.spec(["sleep", "600"], gpus=nvml.uuids[1:])).exit_code == 0


def test_a_leased_gpu_that_is_gone_keeps_the_job_from_starting(gpu_node: Node, nvml: FakeNvml) -> None:
    gone, there = nvml.uuids
    nvml.set("present", 0, gpu=0)
    answer = gpu_node.start(gpu_node.spec(["true"], gpus=[gone, there]))
    assert answer.codes() == [("n1", "gpu_missing")]
    assert gone in answer.error["message"]


def test_a_driver_that_hangs_keeps_the_job_from_starting_and_no_longer(gpu_node: Node, nvml: FakeNvml) -> None:
    nvml.set("fault.nvmlInit", "hang")
    answer = gpu_node.start(gpu_node.spec(["true"], gpus=nvml.uuids, gate={"timeout_s": 1}))
    assert answer.codes() == [("n1", "preflight_failed")]
    nvml.clear("fault.nvmlInit")
    assert gpu_node.start(gpu_node.spec(["true"], gpus=nvml.uuids)).exit_code == 0


def test_what_computes_on_a_leased_gpu_before_the_job_does_is_named_and_keeps_it_from_starting(
    gpu_node: Node, nvml: FakeNvml
) -> None:
    nvml.set("processes", f"{os.getpid()}:C:1GiB, 4000000:C:5MiB", gpu=1)
    answer = gpu_node.start(gpu_node.spec(["true"], gpus=nvml.uuids))
    assert answer.codes() == [("n1", "gpu_busy")]
    command = Path("/proc/self/comm").read_text().strip()
    sentence = f"GPU {nvml.uuids[1]} is used by process {os.getpid()} ({command}), process 4000000, which is of no job"
    assert answer.error["message"].startswith(sentence)
    assert gpu_node.start(gpu_node.spec(["true"], gpus=nvml.uuids[:1])).exit_code == 0
    assert gpu_node.start(gpu_node.spec(["true"], gpus=nvml.uuids[1:], preflight=False)).exit_code == 0
