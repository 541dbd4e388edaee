# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Testinfra's tests of nodes, in one task. Documentation: the module of the same name."""

from __future__ import annotations

from ..plugin_utils.fleet_action import FleetAction

try:
    import os
    import sys
    from collections.abc import Mapping
    from functools import partial
    from typing import Any

    from ..module_utils.cluster import Cluster
    from ..module_utils.door.call import Call, Result, plain
    from ..module_utils.model import InvalidInput, counted, natural
    from ..module_utils.remote import fan_out
    from ..plugin_utils.columns import columns
except ImportError:  # FleetAction says what is missing
    pass

CONNECT_S = 30.0


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
        collection, paths = _paths(call.params["tests"])
        junit = None if call.check_mode else _writable(call.params["junit"])
        self.fleet.prepare(hosts)
        variables = self._variables(call.cluster(), hosts)
        ways = {name: self.fleet.access(name).transport for name in hosts}
        # All at once: a node that does not answer is waited for beside the others, and once.
        tried = fan_out({name: partial(way.run, "exit 0", timeout_s=CONNECT_S) for name, way in ways.items()})
        subjects = {
            name: Subject(way, variables[name], _why_not(tried[name].value, tried[name].error))
            for name, way in ways.items()
        }
        findings, errors = run_tests(subjects, paths, collection, junit)
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
        jobs: dict[str, list[str]] = {}
        for lease in cluster.leases():
            jobs.setdefault(lease.node, []).append(lease.job)
        told = {}
        for name in hosts:
            access = self.fleet.access(name)
            expected: dict[str, Any] = {"agent": self.fleet.version}
            if name in known:
                expected |= {"gpus": [gpu.uuid for gpu in known[name].gpus], "jobs": jobs.get(name, [])}
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


def _paths(more: list[str]) -> tuple[str, list[str]]:
    """The collection's root, and where the tests are."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for path in more:
        if not os.path.exists(path):
            raise InvalidInput(f"there are no tests at {path}", "give files or directories on the control node")
    return root, [os.path.join(root, "tests", "testinfra"), *more]


def _writable(junit: str | None) -> str | None:
    """The same path, absolute. Said before the nodes are asked, and not after."""
    if junit is None:
        return None
    directory = os.path.dirname(os.path.abspath(junit))
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
        raise InvalidInput(f"you cannot write {junit}: {directory} is no directory or not yours", "name another")
    return os.path.abspath(junit)


def _why_not(reply: Any, error: Exception | None) -> str:
    """Why a node cannot be reached; empty if it can."""
    if reply is None:
        return str(error)
    return "" if reply.rc is not None else str(reply.error)
