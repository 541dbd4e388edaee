# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UGRO's ``cluster_state.json``: its nodes and its training jobs.

What it knows of a node is a GPU's model and memory, not how many GPUs there are, nor their uuids: that takes a sync.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from ...model import Admin, Job, Node, Reachability, iso, parse, validated
from ...model.names import job_name_fault, node_name_fault
from .found import KEPT, Imported, Item, listed
from .origin import Origin
from .shapes import CountOf, Number, Shape, by_name, one_of, shaped

SOURCE = "ugro"

STATES = {"running": "LOST", "completed": "SUCCEEDED", "failed": "FAILED"}
"""Nobody has asked the nodes: a job that was running may have ended since."""

COMMAND = ["false", "imported from UGRO, which does not say the command"]
"""What a job that is started again by mistake runs: a command that fails."""

CREATED = ("created_at", "submitted_at")
STARTED = ("started_at", "start_time")
ENDED = ("ended_at", "completed_at", "finished_at", "failed_at", "end_time")
REASON = ("error", "error_message", "reason")


class _Node(Shape):
    status: Annotated[str, one_of("available", "busy", "offline")]
    running_job_id: str | None = None
    gpu: str | None = None
    vram_gb: Number | None = None
    health_score: Number | None = None
    last_check: str | None = None
    ip: str | None = None


class _Job(Shape):
    status: Annotated[str, one_of(*STATES)]
    ranks: CountOf | None = None
    model: str | None = None
    gpu_nodes: list[str] = []


def ugro(data: Mapping[str, Any], origin: Origin) -> Imported:
    """Nodes as nodes that are not known well enough to be used, jobs as jobs that have ended or are lost."""
    found = Imported(origin.name)
    jobs = {key: shaped(_Job, raw, f"jobs.{key}", origin) for key, raw in by_name(data["jobs"], "jobs", origin).items()}
    nodes = {
        key: shaped(_Node, raw, f"nodes.{key}", origin) for key, raw in by_name(data["nodes"], "nodes", origin).items()
    }
    held = _held(nodes, jobs)
    for name, node in nodes.items():
        found.items.append(_node(name, node, data["nodes"][name], held.get(name), origin, found))
    for key, job in jobs.items():
        found.items.append(_job(key, job, data["jobs"][key], origin, found))
    rest = {key: value for key, value in data.items() if key not in ("nodes", "jobs")}
    if rest:
        found.items.append(Item(KEPT, _beside("file", "cluster_state", rest, None)))
    _remark_nodes(found, nodes, jobs, held)
    _remark_jobs(found, jobs, data["jobs"])
    return found


def _held(nodes: Mapping[str, _Node], jobs: Mapping[str, _Job]) -> dict[str, str]:
    """Node -> the job that may still be using it; both the nodes and the jobs say so, and they need not agree."""
    held = {name: key for key, job in jobs.items() if job.status == "running" for name in job.gpu_nodes}
    for name, node in nodes.items():
        if node.running_job_id or node.status == "busy":
            held[name] = node.running_job_id or held.get(name, "")
    return held


def _node(name: str, node: _Node, raw: Any, job: str | None, origin: Origin, found: Imported) -> Item:
    if fault := node_name_fault(name):
        raise origin.fault("nodes", fault)
    place = f"nodes.{name}"
    checked = _utc({"last_check": node.last_check}, ("last_check",), place, origin, found)
    if checked and parse(checked) > origin.now:
        found.remarks.append(f"{place}.last_check: {checked} is in the future, and not taken for a contact")
        checked = None
    if node.status == "offline":
        reachability = Reachability(ok=False, at=checked or iso(origin.now), reason="offline in UGRO")
    else:
        reachability = Reachability(ok=True, at=checked) if checked else Reachability()
        found.seen |= {name: checked} if checked else {}
    admin = Admin()
    if job is not None:
        reason = f"job {job} was running here in UGRO" if job else "busy in UGRO, which does not say with what"
        admin = Admin(
            state="drained", by=origin.who, at=iso(origin.now), reason=f"{reason}: see that it has ended, then resume"
        )
    document = validated(
        Node,
        {
            "name": name,
            "address": node.ip or name,
            "slots": 0,
            "reachability": reachability,
            "admin": admin,
            "created_at": iso(origin.now),
        },
        f"{origin.name}: {place}",
    ).model_dump(mode="json")
    return Item("nodes", document, beside=_beside("node", name, raw, origin.zone_of(node.last_check)))


def _job(key: str, job: _Job, raw: Mapping[str, Any], origin: Origin, found: Imported) -> Item:
    place, model = f"jobs.{key}", job.model or ""
    if fault := job_name_fault(key):
        raise origin.fault("jobs", fault)
    created, started, ended = (_utc(raw, words, place, origin, found) for words in (CREATED, STARTED, ENDED))
    begun = started or created or ended
    lost = job.status == "running"
    name = next(word for word in (model, model.split("/")[-1], key) if job_name_fault(word) is None)
    document = validated(
        Job,
        {
            "id": key,
            "name": name,
            "state": STATES[job.status],
            "spec": {"name": name, "command": COMMAND, **_size(job)},
            "submitted_by": SOURCE,
            "created_at": created or begun or iso(origin.now),
            "started_at": started,
            "ended_at": iso(origin.now) if lost else ended or begun or iso(origin.now),
            "reason": _reason(job, raw),
        },
        f"{origin.name}: {place}",
    ).model_dump(mode="json")
    zone = origin.zone_of(*(_first(raw, words) for words in (CREATED, STARTED, ENDED)))
    return Item("jobs", document, beside=_beside("job", key, dict(raw), zone))


def _reason(job: _Job, raw: Mapping[str, Any]) -> str:
    if job.status == "running":
        where = f" on {listed(job.gpu_nodes)}" if job.gpu_nodes else ""
        return f"was running{where} when it was imported from UGRO; nobody has asked since"
    said = _first(raw, REASON) if job.status == "failed" else None
    return f"{job.status} in UGRO: {said}" if said else f"{job.status} in UGRO"


def _first(raw: Mapping[str, Any], words: tuple[str, ...]) -> Any:
    """The first of these fields that says anything."""
    return next((raw[word] for word in words if raw.get(word) is not None), None)


def _utc(raw: Mapping[str, Any], words: tuple[str, ...], place: str, origin: Origin, found: Imported) -> str | None:
    """The first of these times that is there."""
    word = next((word for word in words if raw.get(word) is not None), None)
    return None if word is None else origin.utc(raw[word], f"{place}.{word}", found.remarks)


def _size(job: _Job) -> dict[str, int]:
    """How much it asked for: one GPU a rank."""
    ranks = job.ranks or 0
    nodes = len(set(job.gpu_nodes))
    if nodes and ranks and ranks % nodes == 0:
        return {"nodes": nodes, "gpus_per_node": ranks // nodes}
    return {"gpus": ranks} if ranks else {"nodes": nodes or 1}


def _beside(kind: str, name: str, fields: Any, zone: str | None) -> dict[str, Any]:
    return {"source": SOURCE, "kind": kind, "name": name, "timezone": zone, "fields": fields}


def _remark_nodes(
    found: Imported, nodes: Mapping[str, _Node], jobs: Mapping[str, _Job], held: Mapping[str, str]
) -> None:
    found.remark(nodes, "nothing is placed on {} before sync.yml has read them: how many GPUs they have is not said")
    found.remark((n for n, node in nodes.items() if not node.ip), "the address of {} is not said: the name is taken")
    found.remark(
        (name for name in held if name in nodes),
        "drained, because a job was running there, and no lease can be made of GPUs without uuids: {}",
    )
    for name, job in held.items():
        if name not in nodes:
            found.remarks.append(f"job {job} was running on {name}, which is not among the nodes")
        elif job and job not in jobs:
            found.remarks.append(f"{name} was running job {job}, which is not among the jobs")
        elif nodes[name].status == "available":
            found.remarks.append(f"{name} is said to be available, and to run job {job}")
    scored = [name for name, node in nodes.items() if node.health_score is not None]
    found.remark(scored, "kept, but not judged by: the health score of {}")


def _remark_jobs(found: Imported, jobs: Mapping[str, _Job], raws: Mapping[str, Any]) -> None:
    found.remark((key for key, job in jobs.items() if job.status == "running"), "LOST until the nodes are asked: {}")
    undated = [key for key, job in jobs.items() if job.status != "running" and _first(raws[key], ENDED) is None]
    found.remark(undated, "when {} ended is not said: the time of the start is taken, or else of the import")
    found.remark(jobs, "the command of {} is not said: started again, it fails")
