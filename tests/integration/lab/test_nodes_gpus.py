# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of real nodes, by a fake NVML library: found, leased by uuid, shown to the ranks, and kept up to date."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakenvml import FakeNvml
from tests.integration.lab.fleet import Fleet

SHOW = ["sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]


@pytest.fixture
def gpus(fleet: Fleet) -> dict[str, FakeNvml]:
    """n001 has two L4, n002 one H100, n003 none; all of them are synced."""
    given = {
        "n001": fleet.lab.give_gpus("n001", 2, model="NVIDIA L4", memory_mib=23034),
        "n002": fleet.lab.give_gpus("n002", 1, model="NVIDIA H100 80GB HBM3", memory_mib=81559),
    }
    synced = fleet.play("sync")
    assert synced.rc == 0, synced.out
    return given


def found(fleet: Fleet, node: str) -> list[str]:
    """The uuids that the state has for a node, in the order of its GPUs."""
    return [gpu["uuid"] for gpu in sorted(fleet.nodes()[node]["gpus"], key=lambda gpu: gpu["index"])]


def test_gpus_are_found_and_corrected_when_their_number_changes(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    nodes = fleet.nodes()
    assert [(gpu["index"], gpu["model"], gpu["memory_mib"]) for gpu in nodes["n001"]["gpus"]] == [
        (0, "NVIDIA L4", 23034),
        (1, "NVIDIA L4", 23034),
    ]
    assert {name: (node["gpu_model"], node["gpu_memory_mib"]) for name, node in nodes.items()} == {
        "n001": ("NVIDIA L4", 23034),
        "n002": ("NVIDIA H100 80GB HBM3", 81559),
        "n003": ("unknown", 0),
    }
    assert {name: found(fleet, name) for name in gpus} == {name: nvml.uuids for name, nvml in gpus.items()}
    gpus["n001"].set("present", 0, gpu=0)
    fleet.lab.take_gpus("n002")
    again = fleet.play("sync")
    assert again.rc == 0, again.out
    assert found(fleet, "n001") == gpus["n001"].uuids and len(gpus["n001"].uuids) == 1
    assert (found(fleet, "n002"), fleet.nodes()["n002"]["gpu_model"]) == ([], "unknown")


def test_gpus_are_not_forgotten_when_nvml_fails(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    before = fleet.nodes()
    gpus["n001"].set("fault.nvmlDeviceGetUUID", "lost", gpu=1)
    gpus["n002"].set("fault.nvmlInit", "error:DRIVER_NOT_LOADED")
    run = fleet.play("sync")
    assert run.rc == 0, run.out
    assert "NVML on n001 fails, so that its GPUs are not known" in run.said, run.out
    assert "NVML on n002 fails, so that its GPUs are not known" in run.said, run.out
    after = fleet.nodes()
    assert {name: node["gpus"] for name, node in after.items()} == {name: node["gpus"] for name, node in before.items()}


@pytest.mark.parametrize("size", [{"gpus": 3}, {"nodes": 2, "gpus_per_node": 1}, {"gpus": 1}], ids=str)
def test_ranks_see_what_was_leased_by_uuid_in_the_order_of_their_gpus(
    fleet: Fleet, gpus: dict[str, FakeNvml], size: dict[str, int]
) -> None:
    held = ["sh", "-c", "echo $CUDA_VISIBLE_DEVICES; sleep 600"]
    started = fleet.play("launch", job={"name": "three", "command": held} | size, muster_wait=False)
    assert started.rc == 0, started.out
    job = fleet.job("three")
    leased = {lease["node"]: lease["gpus"] for lease in fleet.table("leases")}
    plan = job["attempts"][-1]["plan"]
    wanted = size.get("gpus") or size["nodes"] * size["gpus_per_node"]
    assert sum(len(uuids) for uuids in leased.values()) == wanted == plan["world_size"]
    logs = fleet.wait_for_logs(job, wanted)
    for part in plan["nodes"]:
        inorder = [uuid for uuid in gpus[part["node"]].uuids if uuid in leased[part["node"]]]
        assert len(inorder) == len(part["ranks"]) == len(leased[part["node"]])
        assert [logs[rank].strip().split(",") for rank in part["ranks"]] == [inorder] * len(part["ranks"])
    if wanted == 3:
        more = fleet.play("launch", job={"name": "more", "command": ["true"], "gpus": 1})
        assert more.rc != 0
        assert f"held by three ({job['id']})" in more.said, more.out
    assert fleet.play("release", muster_release="three").rc == 0
    assert fleet.remains(job) == []


def test_a_job_gets_the_model_and_memory_that_it_asks_for(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    def placed(name: str, constraints: dict[str, Any]) -> list[str]:
        run = fleet.play("launch", job={"name": name, "command": SHOW, "gpus": 1, "constraints": constraints})
        assert run.rc == 0, run.out
        return [part["node"] for part in fleet.job(name)["attempts"][-1]["plan"]["nodes"]]

    assert placed("small", {"gpu_model": "l4"}) == ["n001"]
    assert placed("large", {"gpu_model": "H100"}) == ["n002"]
    assert placed("roomy", {"min_gpu_memory_mib": 40000}) == ["n002"]
    none = fleet.play("launch", job={"name": "no", "command": SHOW, "gpus": 1, "constraints": {"gpu_model": "B200"}})
    assert none.rc != 0
    assert "no node has a B200" in none.said, none.out


def test_a_gpu_that_fell_off_since_the_sync_stops_the_launch(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    gone = gpus["n001"].uuids[1]
    gpus["n001"].set("present", 0, gpu=1)
    run = fleet.play("launch", job={"name": "short", "command": SHOW, "nodes": 1, "gpus_per_node": 2})
    assert run.rc != 0
    assert gone in run.said and "n001" in run.said, run.out
    assert (fleet.table("jobs"), fleet.table("leases"), fleet.job_directories()) == ([], [], [])
