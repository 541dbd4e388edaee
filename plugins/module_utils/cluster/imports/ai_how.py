# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AI-HOW's ``state.json``: one cluster of virtual machines, with its networks and volumes.

Its manual has lists at the root (``vms``, ``networks``, ``volumes``); what its version 2.0 writes goes by role
(``controller``, ``compute_nodes``, ``worker_nodes``, ``network_config``, ``storage_pool``). Both are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from .found import KEPT, Imported, Item
from .origin import Origin
from .shapes import Count, Name, Number, Shape, one_of, shaped

STATES = ("RUNNING", "PAUSED", "SHUTOFF", "UNDEFINED", "CRASHED", "DYING", "PMSUSPENDED")

FROM_LIBVIRT = {"BLOCKED": "RUNNING", "SHUTDOWN": "DYING", "NOSTATE": "UNDEFINED", "ERROR": "UNDEFINED"}
"""Libvirt's names for which AI-HOW has others; it writes ``error`` where libvirt's answer made no sense to it."""

ROLES = {"controller": "controller", "compute_nodes": "compute", "worker_nodes": "worker"}

Raw = Mapping[str, Any]
"""An object as the file has it."""


class _Cluster(Shape):
    cluster_name: Name
    cluster_type: Annotated[str, one_of("hpc", "cloud")]
    status: Annotated[str, one_of("running", "stopped", "error", "partial")] | None = None
    created_at: str | None = None
    last_modified: str | None = None


class _Thing(Shape):
    name: Name


class _Machine(_Thing):
    cpu_cores: Count | None = None
    memory_gb: Number | None = None
    state: str
    ip_address: str | None = None
    gpu_count: Count | None = None
    volumes: list[str] = []
    created_at: str | None = None
    last_seen: str | None = None


class _Network(_Thing):
    subnet: str | None = None
    bridge: str | None = None
    active_ips: list[str] = []


class _Volume(_Thing):
    path: str | None = None
    size_gb: Number | None = None
    format: str | None = None
    created_at: str | None = None


def ai_how(data: Raw, origin: Origin) -> Imported:
    """The cluster, its machines, networks and volumes as documents of tables of their own, times in UTC."""
    found = Imported(origin.name)
    cluster = shaped(_Cluster, data, "", origin)
    fields = {"type": cluster.cluster_type, "status": cluster.status, **_times(cluster, data, "", origin, found)}
    found.items.append(Item("virtual_clusters", {"name": cluster.cluster_name, **fields, KEPT: _rest(data)}))
    tables = {
        "virtual_machines": [
            (p, raw, _machine(raw, p, role, origin, found)) for p, raw, role in _machines(data, origin)
        ],
        "networks": [
            (p, raw, shaped(_Network, _named(raw), p, origin).model_dump()) for p, raw in _networks(data, origin)
        ],
        "volumes": [(p, raw, _volume(raw, p, origin, found)) for p, raw in _volumes(data, origin)],
    }
    for table, things in tables.items():
        known = set()
        for place, raw, fields in things:
            if fields["name"] in known:
                raise origin.fault(place, f"{fields['name']} is there twice")
            known.add(fields["name"])
            found.items.append(Item(table, {"cluster": cluster.cluster_name, **fields, KEPT: dict(raw)}))
    return found


def _machine(raw: Raw, place: str, role: str | None, origin: Origin, found: Imported) -> dict[str, Any]:
    paths = [raw[word] for word in ("volume_path", "disk_path") if raw.get(word) is not None]
    volumes = paths[:1] if raw.get("volumes") is None else raw["volumes"]
    machine = shaped(_Machine, {**raw, "volumes": volumes}, place, origin)
    fields = machine.model_dump() | {"role": role, "state": _state(machine, place, origin, found)}
    if machine.gpu_count is None and "gpu_assigned" in raw:  # version 2.0 says which GPU, or whether there is one
        if raw["gpu_assigned"]:
            found.remarks.append(f"how many GPUs {machine.name} has is not said, only that it has some")
        else:
            fields["gpu_count"] = 0
    return fields | _times(machine, raw, place, origin, found)


def _volume(raw: Raw, place: str, origin: Origin, found: Imported) -> dict[str, Any]:
    volume = shaped(_Volume, raw, place, origin)
    return volume.model_dump() | _times(volume, raw, place, origin, found)


def _named(raw: Raw) -> Raw:
    """A network; that of version 2.0 has no name, and goes by its bridge."""
    return {"name": raw.get("bridge"), **raw}


def _rest(data: Raw) -> dict[str, Any]:
    """What the file says of the cluster itself."""
    rest = {key: value for key, value in data.items() if key not in {"vms", "networks", "volumes", "network_config"}}
    rest = {key: value for key, value in rest.items() if key not in ROLES}
    if isinstance(pool := rest.get("storage_pool"), Mapping):
        rest["storage_pool"] = {key: value for key, value in pool.items() if key != "volumes"}
    return rest


def _times(shape: Shape, raw: Raw, place: str, origin: Origin, found: Imported) -> dict[str, str | None]:
    """The times of an object, in UTC; ``last_modified`` is in some versions what ``last_seen`` is in others."""
    words = [word for word in ("created_at", "last_seen", "last_modified") if word in raw or hasattr(shape, word)]
    return {
        word: None
        if (text := raw.get(word)) is None
        else origin.utc(text, f"{place}.{word}".lstrip("."), found.remarks)
        for word in words
    }


def _state(machine: _Machine, place: str, origin: Origin, found: Imported) -> str:
    """A machine's state by AI-HOW's name: libvirt's constants, and virsh's ``shut off``, are understood too."""
    said = machine.state.upper().removeprefix("VIR_DOMAIN_").replace(" ", "").replace("_", "")
    state = FROM_LIBVIRT.get(said, said)
    if state not in STATES:
        raise origin.fault(f"{place}.state", f"must be one of {', '.join(STATES)}, not {machine.state!r:.60}")
    if state != said:
        found.remarks.append(f"{machine.name} is said to be {machine.state}: that is read as {state}")
    return state


def _machines(data: Raw, origin: Origin) -> Iterator[tuple[str, Raw, str | None]]:
    """Where each machine is in the file, what is said of it, and its role where that is said."""
    for place, raw in _objects(data.get("vms"), "vms", origin):
        yield place, raw, None
    if data.get("controller") is not None:
        yield "controller", _object(data["controller"], "controller", origin), "controller"
    for word in ("compute_nodes", "worker_nodes"):
        for place, raw in _objects(data.get(word), word, origin):
            yield place, raw, ROLES[word]


def _networks(data: Raw, origin: Origin) -> Iterator[tuple[str, Raw]]:
    yield from _objects(data.get("networks"), "networks", origin)
    if data.get("network_config") is not None:
        yield "network_config", _object(data["network_config"], "network_config", origin)


def _volumes(data: Raw, origin: Origin) -> Iterator[tuple[str, Raw]]:
    yield from _objects(data.get("volumes"), "volumes", origin)
    if data.get("storage_pool") is not None:
        pool = _object(data["storage_pool"], "storage_pool", origin)
        yield from _objects(pool.get("volumes"), "storage_pool.volumes", origin)


def _objects(value: object, place: str, origin: Origin) -> Iterator[tuple[str, Raw]]:
    """The objects of a list, with their places."""
    if value is not None and not isinstance(value, list):
        raise origin.fault(place, f"must be a list, not {value!r:.60}")
    for index, item in enumerate(value or ()):
        yield f"{place}.{index}", _object(item, f"{place}.{index}", origin)


def _object(value: object, place: str, origin: Origin) -> Raw:
    if not isinstance(value, Mapping):
        raise origin.fault(place, f"must be a mapping, not {value!r:.60}")
    return value
