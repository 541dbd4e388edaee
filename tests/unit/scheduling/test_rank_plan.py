# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranks: contiguous by node, whatever the nodes' sizes, and told to each process in its environment."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from muster.model import JobSpec, Node
from muster.scheduling import Placement, RankPlan, rank_plan, start_requests

from tests.unit.samples import node, spec


def plan_of(*sizes: int, gpus: bool = True) -> RankPlan:
    parts = [
        Placement(f"n{i}", gpus=tuple(f"GPU-n{i}-{g}" for g in range(size)))
        if gpus
        else Placement(f"n{i}", slots=tuple(range(size)))
        for i, size in enumerate(sizes, 1)
    ]
    return rank_plan(parts, {f"n{i}": f"10.0.0.{i}" for i in range(1, len(sizes) + 1)}, 20001)


def requests(plan: RankPlan, job: JobSpec) -> dict[str, dict[str, Any]]:
    nodes: dict[str, Node] = {part.node: node(part.node, interface="eth1") for part in plan.nodes}
    return start_requests(plan, job, nodes, job="0q5", attempt=2, epoch=7, token="secret")


@given(st.lists(st.integers(1, 16), min_size=1, max_size=40))
def test_global_ranks_are_contiguous_by_node_and_count_every_process(sizes: list[int]) -> None:
    plan = plan_of(*sizes)
    assert [rank for part in plan.nodes for rank in part.ranks] == list(range(sum(sizes)))
    assert [len(part.ranks) for part in plan.nodes] == sizes
    assert [part.node_rank for part in plan.nodes] == list(range(len(sizes)))
    assert plan.world_size == sum(sizes)
    assert plan.master_addr == "10.0.0.1"


@given(st.lists(st.integers(1, 16), min_size=1, max_size=10))
def test_a_plan_survives_being_kept_as_a_document(sizes: list[int]) -> None:
    plan = plan_of(*sizes)
    assert RankPlan.from_document(plan.to_document()) == plan


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_every_process_is_told_where_it_stands(sizes: list[int]) -> None:
    asked = requests(plan_of(*sizes), spec(nodes=1))
    seen = []
    for name, size in zip(asked, sizes, strict=True):
        for local_rank, process in enumerate(asked[name]["processes"]):
            env = process["env"]
            seen.append(int(env["RANK"]))
            assert env["LOCAL_RANK"] == str(local_rank) == str(process["local_rank"])
            assert env["LOCAL_WORLD_SIZE"] == str(size)
            assert env["WORLD_SIZE"] == str(sum(sizes))
            assert env["GROUP_RANK"] == env["NODE_RANK"] == str(asked[name]["node_rank"])
            assert (env["MASTER_ADDR"], env["MASTER_PORT"]) == ("10.0.0.1", "20001")
            assert env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
            assert env["CUDA_VISIBLE_DEVICES"].split(",") == [f"GPU-{name}-{g}" for g in range(size)]
            assert env["OMP_NUM_THREADS"] == "1"
            assert (env["MUSTER_JOB_ID"], env["MUSTER_ATTEMPT"], env["MUSTER_EPOCH"]) == ("0q5", "2", "7")
            assert all(isinstance(value, str) for value in env.values())
    assert seen == list(range(sum(sizes)))


def test_a_job_on_slots_sees_no_gpu() -> None:
    (process,) = requests(plan_of(1, gpus=False), spec(slots=1))["n1"]["processes"]
    assert process["env"]["CUDA_VISIBLE_DEVICES"] == ""


def test_the_jobs_own_variables_win_except_for_who_it_is() -> None:
    mine = {"OMP_NUM_THREADS": "8", "MASTER_ADDR": "10.9.9.9", "MUSTER_EPOCH": "99", "MUSTER_JOB_ID": "me"}
    (process,) = requests(plan_of(1), spec(gpus=1, env=mine))["n1"]["processes"]
    assert process["env"]["OMP_NUM_THREADS"] == "8"
    assert process["env"]["MASTER_ADDR"] == "10.9.9.9"
    assert (process["env"]["MUSTER_EPOCH"], process["env"]["MUSTER_JOB_ID"]) == ("7", "0q5")


def test_each_node_is_told_its_own_part_and_where_all_of_them_meet() -> None:
    asked = requests(plan_of(2, 1), spec(gpus=3, cwd="/data", user="ml", time_limit_s=60))
    assert asked["n2"]["addresses"]["n1"] == "10.0.0.1"
    assert asked["n2"]["gpus"] == ["GPU-n2-0"]
    assert asked["n1"]["gate"] == asked["n2"]["gate"]
    assert asked["n2"]["gate"]["node"] == "n1"
    assert asked["n2"]["gate"]["nodes"] == ["n1", "n2"]
    for one in asked.values():
        assert (one["cwd"], one["user"], one["time_limit_s"], one["grace_s"]) == ("/data", "ml", 60, 10)
        assert (one["job"], one["attempt"], one["epoch"], one["interface"]) == ("0q5", 2, 7, "eth1")


def torchrun(*command: str) -> list[list[str]]:
    asked = requests(plan_of(2, 1), spec(gpus=3, launcher="torchrun", command=list(command)))
    for one in asked.values():
        (process,) = one["processes"]
        assert "RANK" not in process["env"], "torchrun numbers the ranks itself"
        assert process["env"]["MUSTER_JOB_ID"] == "0q5"
    assert [one["processes"][0]["rank"] for one in asked.values()] == [0, 2]
    return [one["processes"][0]["command"] for one in asked.values()]


OPTIONS = ["--nnodes=2", "--node-rank=1", "--nproc-per-node=1", "--master-addr=10.0.0.1", "--master-port=20001"]


def test_torchrun_is_started_once_a_node_by_the_jobs_own_python() -> None:
    first, second = torchrun("/env/bin/python3", "train.py", "--lr", "1")
    assert second == ["/env/bin/python3", "-m", "torch.distributed.run", *OPTIONS, "train.py", "--lr", "1"]
    assert first[3:6] == ["--nnodes=2", "--node-rank=0", "--nproc-per-node=2"]


def test_torchrun_runs_modules_and_programs_and_leaves_an_interpreters_options_to_it() -> None:
    assert torchrun("python3", "-m", "train")[1][3:] == [*OPTIONS, "-m", "train"]
    assert torchrun("python3", "-u", "train.py")[1][3:] == [*OPTIONS, "--no-python", "python3", "-u", "train.py"]
    assert torchrun("./train", "-x")[1] == ["torchrun", *OPTIONS, "--no-python", "./train", "-x"]
