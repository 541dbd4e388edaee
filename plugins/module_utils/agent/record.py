# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status of an attempt on this node: a JSON file that only its supervisor writes, each time as a whole.

The shape is in docs/agent.md. A reader adds what the file cannot say: that its supervisor is gone (`lost`).
"""

from __future__ import annotations

import contextlib
import json
import os

from . import files, processes
from .clock import now
from .version import PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .layout import Layout

    Document = dict[str, Any]

LIVE = ("starting", "running")
SECRET = "********"


def write_json(path: str, document: Document, mode: int = 0o644) -> None:
    """Replace `path` by the document: on disk before it is seen, and never seen in part. Raises OSError."""
    files.replace(path, json.dumps(document) + "\n", mode)


def read_json(path: str) -> Document | None:
    """Return the object in the file, or None if there is no such file or no object in it."""
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def remove(directory: str) -> None:
    """Take away the directory of an attempt that has not started: it holds files only.

    It loses its name first: a stop that comes at this moment can then put nothing more into it.
    """
    parent, name = os.path.split(directory)
    nameless = os.path.join(parent, f".{name.lstrip('.')}.{os.getpid()}.gone")
    os.rename(directory, nameless)
    for file in os.listdir(nameless):
        os.unlink(os.path.join(nameless, file))
    os.rmdir(nameless)


def status_path(layout: Layout, job: str, attempt: int) -> str:
    return os.path.join(layout.attempt(job, attempt), "status.json")


def spec_path(layout: Layout, job: str, attempt: int) -> str:
    return os.path.join(layout.attempt(job, attempt), "spec.json")


def forget_secrets(layout: Layout, job: str, attempt: int) -> None:
    """Take the values of secrets out of the spec of an attempt that has ended: it stays, but nobody needs them."""
    path = spec_path(layout, job, attempt)
    spec = read_json(path) or {}
    known = [(process["env"], name) for process in spec.get("processes", []) for name in spec.get("secrets", [])]
    shown = [(env, name) for env, name in known if env.get(name, SECRET) != SECRET]
    for env, name in shown:
        env[name] = SECRET
    if shown:
        try:
            write_json(path, spec, mode=0o600)
        except OSError:  # a full disk, say
            with contextlib.suppress(OSError):
                os.unlink(path)


def stop_path(layout: Layout, job: str, attempt: int) -> str:
    """Where a stop is asked for, as {"reason", "grace_s"}: a file, so that it counts however early it comes."""
    return os.path.join(layout.attempt(job, attempt), "stop.json")


def first(spec: Document, unit: str | None) -> Document:
    """Return the status with which this process, the supervisor, begins an attempt."""
    at = now()
    return {
        "protocol": PROTOCOL,
        **{key: spec[key] for key in ("job", "name", "attempt", "epoch", "lineage", "node", "node_rank")},
        "state": "starting",
        "supervisor": {"pid": os.getpid(), "start_ticks": processes.start_ticks(os.getpid()), "unit": unit},
        "boot_id": processes.boot_id(),
        "created_at": at,
        "started_at": None,
        "ended_at": None,
        "updated_at": at,
        "ranks": [],
        "failure": None,
        "reason": None,
        "lost": [],
        "left": 0,
        "problems": [],
    }


def markers(status: Document) -> dict[str, str]:
    """Return the environment variables that every rank of this attempt on this node carries."""
    return {
        "MUSTER_JOB_ID": str(status["job"]),
        "MUSTER_ATTEMPT": str(status["attempt"]),
        "MUSTER_EPOCH": str(status["epoch"]),
        "MUSTER_NODE": str(status["node"]),
    }


def leftovers(status: Document) -> list[processes.Process]:
    """Return the processes of an attempt whose supervisor is gone; none can have outlived a boot."""
    if status["boot_id"] != processes.boot_id():
        return []
    started = [(rank["pid"], rank["start_ticks"]) for rank in status["ranks"] if rank["pid"]]
    return processes.of_attempt(markers(status), started)


def supervised(status: Document) -> bool:
    """Whether the supervisor that writes this record still lives."""
    supervisor = status["supervisor"]
    return status["boot_id"] == processes.boot_id() and processes.lives(supervisor["pid"], supervisor["start_ticks"])


def look(layout: Layout, job: str, attempt: int) -> Document | None:
    """Return the attempt's status as it truly is now, or None if this node does not know the attempt."""
    path = status_path(layout, job, attempt)
    status = read_json(path)
    if status is None or not (status["state"] in LIVE or status["left"]) or supervised(status):
        return status
    # The supervisor may have ended in order between the two looks: only the record as it is now counts.
    status = read_json(path)
    if status is None or not (status["state"] in LIVE or status["left"]):
        return status
    if status["state"] in LIVE:
        rebooted = status["boot_id"] != processes.boot_id()
        status["state"] = "lost"
        status["reason"] = (
            "the node was rebooted" if rebooted else f"the supervisor (pid {status['supervisor']['pid']}) is gone"
        )
    status["left"] = len(leftovers(status))
    return status


def ended(status: Document) -> bool:
    """Whether this attempt will start no process any more (some may be `left`)."""
    return status["state"] not in LIVE
