# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The experiment manager's ``manager_state.json``: the tasks of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from ...model import parse
from .found import KEPT, Imported, Item
from .origin import Origin
from .shapes import Count, Shape, by_name, one_of, shaped

SOURCE = "experiments"

STALE = timedelta(hours=2)
"""The manager gives an assignment that is older than this to another worker when it starts."""


class _Task(Shape):
    task_id: str | None = None
    phase: str | None = None
    config: dict[str, Any] = {}
    status: Annotated[str, one_of("pending", "assigned", "completed", "failed")]
    assigned_to: str | None = None
    assigned_at: str | None = None
    retry_count: Count = 0
    last_error: str | None = None


def experiments(data: Mapping[str, Any], origin: Origin) -> Imported:
    """Each task as a document of the table ``tasks``, as it is: an assignment that is stale is remarked, no more."""
    found = Imported(origin.name)
    raws = by_name(data["tasks"], "tasks", origin)
    tasks = {key: shaped(_Task, raw, f"tasks.{key}", origin) for key, raw in raws.items()}
    stale, aimless = [], []
    for key, task in tasks.items():
        if task.task_id not in (None, key):
            raise origin.fault(f"tasks.{key}.task_id", f"must be {key}, not {task.task_id!r:.60}")
        at = origin.utc(task.assigned_at, f"tasks.{key}.assigned_at", found.remarks) if task.assigned_at else None
        if task.status == "assigned":
            stale += [key] if at and origin.now - parse(at) > STALE else []
            aimless += [key] if not at or not task.assigned_to else []
        fields = task.model_dump() | {"task_id": key, "assigned_at": at}
        found.items.append(Item("tasks", fields | {KEPT: raws[key]}))
    found.remark(stale, "{} assigned for more than two hours: the manager would give them to other workers")
    found.remark(aimless, "{} assigned, but it is not said to whom and when")
    _keep_rest(data, raws, found)
    return found


def _keep_rest(data: Mapping[str, Any], raws: Mapping[str, Any], found: Imported) -> None:
    """Keep what else the file says; of the list of assigned tasks, only if it says other than the tasks do."""
    rest = {key: value for key, value in data.items() if key != "tasks"}
    assigned = {key: raw for key, raw in raws.items() if raw["status"] == "assigned"}
    again = rest.get("assigned_tasks")
    if again in (None, assigned) or (isinstance(again, list) and again == list(assigned)):
        rest.pop("assigned_tasks", None)
    else:
        found.remarks.append("assigned_tasks says other than the tasks themselves do: theirs is taken, and it is kept")
    if rest:
        document = {"source": SOURCE, "kind": "file", "name": "manager_state", "timezone": None, "fields": rest}
        found.items.append(Item(KEPT, document))
