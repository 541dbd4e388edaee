# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All ranks of a job at once: start, follow, stop, settle. Documentation: the module of the same name."""

from __future__ import annotations

import time
from dataclasses import replace

from ..plugin_utils.fleet_action import FleetAction

try:
    from ..module_utils.cluster import Cluster, Outcome
    from ..module_utils.door.allocations import when_free
    from ..module_utils.door.call import Call, Result
    from ..module_utils.gang import (
        Means,
        Report,
        follow_with_restarts,
        release_gang,
        start_gang,
        to_be_released,
        told,
    )
    from ..module_utils.model import ENDED, Job
except ImportError:  # FleetAction says what is missing
    pass


class ActionModule(FleetAction):
    """Runs in the control process, once for all nodes of the job."""

    interface = {
        "argument_spec": {
            "store": {"type": "str"},
            "state": {"type": "str", "required": True, "choices": ["started", "finished", "stopped", "settled"]},
            "job": {"type": "str"},
            "jobs": {"type": "list", "elements": "str"},
            "env": {"type": "dict"},
            "within": {"type": "list", "elements": "str"},
            "preflight": {"type": "bool", "default": True},
            "wait_for_capacity_s": {"type": "int", "default": 0},
            "progress_s": {"type": "int", "default": 10},
            "reason": {"type": "str", "default": "stopped by the user"},
        },
        "required_if": [
            ("state", "started", ["job"]),
            ("state", "finished", ["job"]),
            ("state", "stopped", ["job", "jobs"], True),
        ],
        "mutually_exclusive": [("job", "jobs")],
    }

    def answer(self, call: Call) -> Result:
        """The result of the task."""
        verbs = {"started": self._start, "finished": self._follow, "stopped": self._stop, "settled": self._settle}
        return verbs[call.params["state"]](call, call.cluster())

    def _start(self, call: Call, cluster: Cluster) -> Result:
        job = cluster.job(call.params["job"])
        if call.check_mode or job.state in ("STARTING", "RUNNING"):
            return {"changed": job.state == "ALLOCATED", "job": _brief(job)}
        self.fleet.prepare_for(cluster, [job])
        started = start_gang(
            cluster,
            self.fleet.dial,
            job,
            env=call.params["env"],
            within=call.params["within"],
            preflight=call.params["preflight"],
            say=call.warn,
        )
        ranks, nodes = started.plan.world_size, [part.node for part in started.plan.nodes]
        call.say(f"{_title(started.job)} runs: {_count(ranks, 'rank')} on {', '.join(nodes)}")
        return {
            "changed": True,
            "job": _brief(started.job),
            "plan": started.plan.to_document(),
            "left_out": started.left_out,
            "commands": started.commands,
        }

    def _follow(self, call: Call, cluster: Cluster) -> Result:
        job = cluster.job(call.params["job"])
        if job.state in ENDED:  # somebody else has settled it
            return {
                "failed": job.state != "SUCCEEDED",
                "msg": told(job.name, job.id, Outcome.of(job), job.restarts),
                "job": _brief(job),
                "doubtful": {},
            }
        if call.check_mode:
            return {"msg": f"{_title(job)} {job.state}", "job": _brief(job), "doubtful": {}}
        begun = time.monotonic()

        def progress(now: Job, reports: dict[str, Report]) -> None:
            call.say(f"{_title(now)} {_clock(time.monotonic() - begun)}  {_summary(reports, now)}")

        def prepare(now: Job) -> None:
            self.fleet.prepare_for(cluster, [now])

        patient = replace(call, settle=lambda: bool(self.fleet.settle(cluster, call.say)))
        ended = follow_with_restarts(
            cluster,
            self.fleet.dial,
            job,
            Means(call.params["env"], call.params["within"], call.params["preflight"], call.say, prepare),
            allocate=lambda name: when_free(patient, cluster, name)[0],
            say=progress,
            every_s=float(call.params["progress_s"]),
        )
        return {
            "changed": True,
            "failed": ended.outcome.state != "SUCCEEDED",
            "msg": told(job.name, job.id, ended.outcome, ended.job.restarts),
            "job": _brief(ended.job),
            "doubtful": ended.doubtful,
        }

    def _stop(self, call: Call, cluster: Cluster) -> Result:
        todo = to_be_released(cluster, call.params["jobs"] or [call.params["job"]])
        if call.check_mode:
            return {"changed": bool(todo), "jobs": [_brief(job) for job in todo], "doubtful": {}}
        doubtful: dict[str, str] = {}
        released = []
        for job in todo:
            self.fleet.prepare_for(cluster, [job])
            after, doubts = release_gang(cluster, self.fleet.dial, job, call.params["reason"])
            doubtful |= doubts
            released.append(after)
        result: Result = {
            "changed": bool(todo),
            "jobs": [_brief(job) for job in released],
            "doubtful": doubtful,
        }
        if doubtful:
            said = "; ".join(f"{name}: {why}" for name, why in doubtful.items())
            result |= {"failed": True, "msg": f"these nodes keep their lease and are drained: {said}"}
        return result

    def _settle(self, call: Call, cluster: Cluster) -> Result:
        settled = [] if call.check_mode else self.fleet.settle(cluster, call.say)
        return {"changed": bool(settled), "jobs": [_brief(job) for job in settled]}


def _brief(job: Job) -> Result:
    """What a play's output should show of a job; M(muster.training.job_info) has the rest."""
    return {"id": job.id, "name": job.name, "state": job.state, "reason": job.reason}


def _title(job: Job) -> str:
    return f"{job.name} ({job.id})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _summary(reports: dict[str, Report], job: Job) -> str:
    states: dict[str, int] = {}
    for one in reports.values():
        for rank in (one.status or {}).get("ranks", []):
            states[rank["state"]] = states.get(rank["state"], 0) + 1
    nodes = len(job.attempts[-1].plan["nodes"])
    ranks = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no news yet"
    silent = nodes - len(reports)
    return f"ranks: {ranks} on {_count(nodes, 'node')}" + (f", {silent} yet to answer" if silent else "")
