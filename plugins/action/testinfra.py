# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Testinfra's tests of nodes, in one task. Documentation: the module of the same name."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..plugin_utils.fleet_action import FleetAction

try:
    from ..module_utils.cluster import Cluster
    from ..module_utils.door.call import Call, Result, plain
    from ..module_utils.model import InvalidInput, counted, natural
    from ..module_utils.remote import Outcome, Reply, fan_out
    from ..plugin_utils.columns import columns
    from ..plugin_utils.monitor_settings import settings_of
except ImportError:  # FleetAction says what is missing
    pass

CONNECT_S = 30.0
COLLECTION = str(Path(__file__).absolute().parents[2])


class ActionModule(FleetAction):
    """Runs in the control process, once for all hosts."""

    interface = {
        "argument_spec": {
            "store": {"type": "str"},
            "hosts": {"type": "list", "elements": "str"},
            "tests": {"type": "list", "elements": "path", "default": []},
            "junit": {"type": "path"},
        }
    }

    def answer(self, call: Call) -> Result:
        """The result of the task."""
        try:
            from ..plugin_utils.testinfra_run import Subject, run_tests
        except ImportError as error:
            raise InvalidInput(
                f"{sys.executable} has no {error.name}, which runs the tests", "pip install pytest-testinfra"
            ) from None
        given = call.params["hosts"]
        hosts = sorted(self.fleet.play_hosts if given is None else given, key=natural)
        if not hosts:
            return {"counts": {"passed": 0, "failed": 0, "skipped": 0}, "msg": "there are no nodes to test"}
        paths = _there(call.params["tests"])
        junit = None if call.check_mode else _writable(call.params["junit"])
        self.fleet.prepare(hosts)
        cluster = call.cluster()
        variables = self._variables(cluster, hosts)
        ways = {name: self.fleet.access(name).transport for name in hosts}
        # All at once: a node that does not answer is waited for beside the others, and once.
        tried = fan_out({name: partial(way.run, "exit 0", timeout_s=CONNECT_S) for name, way in ways.items()})
        subjects = {
            name: Subject(way, partial(_as_of_now, cluster, name, variables[name]), _why_not(tried[name]))
            for name, way in ways.items()
        }
        try:
            findings, errors = run_tests(subjects, paths, COLLECTION, junit)
        except OSError as error:
            raise InvalidInput(f"{junit} cannot be written: {error.strerror}", "make room, or name another") from None
        if errors:
            raise InvalidInput(f"the tests cannot be run: {'; '.join(errors)}", "correct them")
        wrong = {name: one.failed for name, one in findings.items() if one.failed}
        for line in _table(wrong):
            call.say(line)
        counts = {
            "passed": sum(len(one.passed) for one in findings.values()),
            "failed": sum(len(one.failed) for one in findings.values()),
            "skipped": sum(len(one.skipped) for one in findings.values()),
        }
        if not wrong:
            return {"counts": counts, "msg": f"{counted(len(hosts), 'node')} as they are to be"}
        told = "; ".join(f"{name}: {', '.join(facts)}" for name, facts in wrong.items())
        return {
            "failed": True,
            "msg": f"{counted(len(wrong), 'node')} of {len(hosts)} not as they are to be: {told}",
            "failures": wrong,
            "counts": counts,
        }

    def _variables(self, cluster: Cluster, hosts: list[str]) -> dict[str, dict[str, Any]]:
        """What tests see of each host: its own variables where they tell how it is to be, and what the state knows."""
        known = cluster.nodes()
        settings = settings_of(self.fleet, cluster, hosts)
        told = {}
        for name in hosts:
            access = self.fleet.access(name)
            expected: dict[str, Any] = {"agent": self.fleet.version, "settings": settings[name]}
            if name in known:
                expected |= {"gpus": [gpu.uuid for gpu in known[name].gpus], "jobs": []}
            told[name] = {
                "muster_state_dir": access.state_dir,
                "ansible_python_interpreter": access.python,
                "muster_health": plain(self.fleet.variable(name, "muster_health", {})),
                "muster_verify": expected,
            }
        return told


def _table(wrong: Mapping[str, Mapping[str, str]]) -> list[str]:
    rows = [(name, fact, why) for name, facts in wrong.items() for fact, why in facts.items()]
    return columns([("NODE", "FACT", "WHAT IS WRONG"), *rows]) if rows else []


def _as_of_now(cluster: Cluster, node: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The node's variables, with the jobs that it is leased to now: they come and go while nodes are tested."""
    expected = dict(variables["muster_verify"])
    if "jobs" in expected:
        expected["jobs"] = sorted({lease.job for lease in cluster.leases() if lease.node == node})
    return {**variables, "muster_verify": expected}


def _there(paths: list[str]) -> list[str]:
    """The same paths, absolute."""
    for path in paths:
        if not os.path.exists(path):
            raise InvalidInput(f"there are no tests at {path}", "give files or directories on the control node")
    return [os.path.abspath(path) for path in paths]


def _writable(junit: str | None) -> str | None:
    """The same path, absolute. Said before the nodes are asked, and not after."""
    if junit is None:
        return None
    path = os.path.abspath(junit)
    directory = os.path.dirname(path)
    if os.path.isdir(path) or not os.access(path if os.path.exists(path) else directory, os.W_OK):
        raise InvalidInput(f"you cannot write {junit}", "name a file in a directory that is there, and that is yours")
    return path


def _why_not(tried: Outcome[Reply]) -> str:
    """Why a node cannot be reached; empty if it can."""
    if tried.value is None:
        return str(tried.error)
    return "" if tried.value.rc is not None else str(tried.value.error)
