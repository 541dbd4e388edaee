# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at the node, now: every sampler once, and each result counts as it is."""

from __future__ import annotations

import select
from functools import partial
from typing import Any

from .. import processes, record
from ..layout import Layout
from ..worker import Worker
from . import latest, report
from .catalogue import BY_NAME, SAMPLERS
from .settings import Settings, load
from .watch import Watch

Document = dict[str, Any]

AT_ONCE = {"fail_after": 1, "recover_after": 1}


def look(layout: Layout) -> Document:
    """Return the report of a fresh look, as the daemon would make it if one sample were enough. What that holds against
    the node, or was told is mended, counts here as well. Raises AgentError."""
    settings = load(layout, BY_NAME)
    checks = {name: {**settings.checks.get(name, {}), **AT_ONCE} for name in {*BY_NAME, *settings.checks}}
    watch = Watch(settings._replace(checks=checks), processes.boot_id())
    before = record.read_json(latest.paths(layout)["memory"]) or {}
    watch.restore(before)
    facts = _ask_all(settings, watch, before.get("stuck", []))
    document = report.make(watch, facts, latest.boottime(), source="live")
    return {**document, "age_s": 0.0, "fresh": True}


def _ask_all(settings: Settings, watch: Watch, stuck: list[list[Any]]) -> Document:
    facts: Document = {}
    waiting: dict[int, tuple[str, Worker]] = {}
    for name, sampler in SAMPLERS.items():
        worker = Worker(partial(sampler.read, settings))
        for of, pid, ticks in stuck:
            if of == name:
                worker.beware(pid, ticks)
        refused = worker.ask(sampler.first_deadline_s)
        if refused:
            watch.take(name, refused, latest.boottime())
        else:
            waiting[worker.answers] = name, worker
    while waiting:
        poll = select.poll()
        for descriptor in waiting:
            poll.register(descriptor, select.POLLIN)
        poll.poll(min(worker.left_s for _name, worker in waiting.values()) * 1000 + 1)
        for descriptor, (name, worker) in list(waiting.items()):
            sample = worker.answer()
            if sample:
                del waiting[descriptor]
                facts[name] = sample.facts
                watch.take(name, sample, latest.boottime())
    return facts
