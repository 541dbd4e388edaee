# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rank plan: for each node its node rank, GPUs or slots, global ranks, and what the agent is told to start."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..model import JobSpec, Node
from .placement import Placement

Document = dict[str, Any]

RESERVED = ("MUSTER_JOB_ID", "MUSTER_ATTEMPT", "MUSTER_EPOCH")
"""The variables that a job's own env cannot override: who asks about a rank must get the truth."""

GATE_TIMEOUT_S = 60


@dataclass(frozen=True)
class NodePlan:
    """One node's part. ``ranks``: its global ranks, contiguous."""

    node: str
    address: str
    node_rank: int
    gpus: tuple[str, ...]
    slots: tuple[int, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class RankPlan:
    """Who is which rank, and where they meet. ``nodes`` is in node-rank order."""

    world_size: int
    master_addr: str
    master_port: int
    nodes: tuple[NodePlan, ...]
    link_port: int | None = None
    """Where the supervisors keep in touch, on rank 0's node; None for a job on one node."""

    def to_document(self) -> Document:
        """Plain JSON, as kept with the attempt and returned to the user."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RankPlan:
        """The plan that :meth:`to_document` wrote, also when it went through JSON."""
        nodes = tuple(
            NodePlan(
                node=part["node"],
                address=part["address"],
                node_rank=part["node_rank"],
                gpus=tuple(part["gpus"]),
                slots=tuple(part["slots"]),
                ranks=tuple(part["ranks"]),
            )
            for part in document["nodes"]
        )
        ports = document["master_port"], document.get("link_port")
        return cls(document["world_size"], document["master_addr"], ports[0], nodes, ports[1])


def rank_plan(
    placements: Sequence[Placement], addresses: Mapping[str, str], master_port: int, link_port: int | None = None
) -> RankPlan:
    """Number the ranks of ``placements`` (in rank order); the first node is where they meet."""
    nodes: list[NodePlan] = []
    first = 0
    for node_rank, part in enumerate(placements):
        ranks = tuple(range(first, first + part.processes))
        nodes.append(NodePlan(part.node, addresses[part.node], node_rank, part.gpus, part.slots, ranks))
        first += part.processes
    return RankPlan(first, nodes[0].address, master_port, tuple(nodes), link_port)


def start_requests(
    plan: RankPlan,
    spec: JobSpec,
    nodes: Mapping[str, Node],
    *,
    job: str,
    attempt: int,
    epoch: int,
    token: str,
    lineage: str | None = None,
    preflight: bool = True,
) -> dict[str, Document]:
    """What each node's agent is asked to start (docs/agent.md, "start"), by node name.

    ``preflight``: whether nodes try to reach each other, and look for strange processes on their GPUs.
    ``lineage`` is the store's: epochs of another cluster's state, or of one that was started anew, do not fence.
    """
    names = [part.node for part in plan.nodes]
    return {
        part.node: {
            "protocol": 1,
            "job": job,
            "name": spec.name,
            "attempt": attempt,
            "epoch": epoch,
            "lineage": lineage,
            "node": part.node,
            "node_rank": part.node_rank,
            "cwd": spec.cwd,
            "user": spec.user,
            "grace_s": spec.grace_s,
            "time_limit_s": spec.time_limit_s,
            "hang_timeout_s": spec.hang_timeout_s,
            "hang_signal": spec.hang_signal,
            "max_log_mib": spec.max_log_mib,
            "interface": nodes[part.node].interface,
            "link_port": plan.link_port,
            "addresses": {other.node: other.address for other in plan.nodes},
            "preflight": preflight,
            "gpus": list(part.gpus),
            "slots": list(part.slots),
            "secrets": spec.secret_names(),
            "processes": _processes(plan, part, spec, _identity(job, attempt, epoch)),
            "gate": {
                "node": names[0],
                "address": plan.master_addr,
                "port": plan.master_port,
                "nodes": names,
                "token": token,
                "timeout_s": GATE_TIMEOUT_S,
            },
        }
        for part in plan.nodes
    }


def rank_environment(plan: RankPlan, part: NodePlan, local_rank: int) -> dict[str, str]:
    """The variables of one rank (DESIGN, section 5) that the plan decides; the agent adds the interfaces."""
    return {
        "RANK": str(part.ranks[local_rank]),
        "LOCAL_RANK": str(local_rank),
        **_node_environment(plan, part),
    }


def _node_environment(plan: RankPlan, part: NodePlan) -> dict[str, str]:
    return {
        "WORLD_SIZE": str(plan.world_size),
        "LOCAL_WORLD_SIZE": str(len(part.ranks)),
        "GROUP_RANK": str(part.node_rank),
        "NODE_RANK": str(part.node_rank),
        "MASTER_ADDR": plan.master_addr,
        "MASTER_PORT": str(plan.master_port),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(part.gpus),
        "OMP_NUM_THREADS": "1",
    }


def _identity(job: str, attempt: int, epoch: int) -> dict[str, str]:
    return dict(zip(RESERVED, (job, str(attempt), str(epoch)), strict=True))


def _processes(plan: RankPlan, part: NodePlan, spec: JobSpec, identity: Mapping[str, str]) -> list[Document]:
    if spec.launcher == "torchrun":
        env = {**_node_environment(plan, part), **spec.env, **identity}
        return [{"rank": part.ranks[0], "local_rank": 0, "command": _torchrun(plan, part, spec.command), "env": env}]
    return [
        {
            "rank": rank,
            "local_rank": local_rank,
            "command": list(spec.command),
            "env": {**rank_environment(plan, part, local_rank), **spec.env, **identity},
        }
        for local_rank, rank in enumerate(part.ranks)
    ]


def _torchrun(plan: RankPlan, part: NodePlan, command: Sequence[str]) -> list[str]:
    """``command`` under torchrun: by the interpreter it names, so that torchrun is that of the job's own torch.

    torchrun runs scripts and modules itself; what else an interpreter is told (``-u``, ``-c``) only it understands.
    """
    options = [
        f"--nnodes={len(plan.nodes)}",
        f"--node-rank={part.node_rank}",
        f"--nproc-per-node={len(part.ranks)}",
        f"--master-addr={plan.master_addr}",
        f"--master-port={plan.master_port}",
    ]
    if os.path.basename(command[0]).startswith("python"):
        plain = command[1:2] == ["-m"] or not command[1:2] or not command[1].startswith("-")
        rest = command[1:] if plain else ["--no-python", *command]
        return [command[0], "-m", "torch.distributed.run", *options, *rest]
    return ["torchrun", *options, "--no-python", *command]
