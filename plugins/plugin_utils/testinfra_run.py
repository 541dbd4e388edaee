# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Testinfra's tests, run in this process, with nodes that are reached as all of Muster reaches them.

Testinfra has ways of its own to a node, which do not template the inventory's variables and start an ssh a command.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import testinfra.backend
from testinfra.backend.base import BaseBackend, CommandResult

from ..module_utils.remote import Reply, Transport

LONGEST_S = 90.0
SUITE = "muster"


@dataclass(frozen=True)
class Subject:
    """One node: how commands are run there, and its variables, as tests see them."""

    transport: Transport
    variables: Mapping[str, Any]
    unreachable: str = ""


@dataclass
class Findings:
    """Of one node: the tests by name, without ``test_``, with what they say."""

    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


class MusterBackend(BaseBackend):
    """A node behind one of our transports."""

    NAME = "muster"
    HAS_RUN_ANSIBLE = True  # there are variables of an inventory

    subjects: Mapping[str, Subject] = {}

    def __init__(self, host: str, *arguments: Any, **options: Any) -> None:
        self._subject = self.subjects[host]
        super().__init__(host)

    def run(self, command: str, *arguments: str, **_options: Any) -> CommandResult:
        """The result of a shell command.

        :raises RuntimeError: it could not be run, which is what Testinfra's own backends raise.
        """
        text = self.get_command(command, *arguments)
        if self._subject.unreachable:
            raise RuntimeError(self._subject.unreachable)
        reply: Reply = self._subject.transport.run(text, timeout_s=LONGEST_S)
        if reply.rc is None:
            raise RuntimeError(reply.error)
        return self.result(reply.rc, self.encode(text), reply.stdout, reply.stderr)

    def get_variables(self) -> dict[str, Any]:
        """As ``host.ansible.get_variables()`` gives them."""
        return dict(self._subject.variables)

    @classmethod
    def get_hosts(cls, host: str, **_options: Any) -> list[str]:
        """All of them."""
        return list(cls.subjects) if host in (None, "all") else [host]


class Listener:
    """A plugin of pytest's that notes how each test went."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.findings = {name: Findings() for name in nodes}
        self.errors: list[str] = []

    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, report: Any) -> None:
        """A file could not be read, or a test has failed, of which more is said below."""
        if isinstance(report, pytest.CollectReport):
            self.errors.append(f"{node.path}: {_told(report).removeprefix('E').strip()}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One test has ended, or could not be set up."""
        name, _bracket, parameter = report.nodeid.rpartition("::")[2].partition("[")
        node = parameter.removeprefix(f"{MusterBackend.NAME}://").rstrip("]")
        if node not in self.findings:  # it has further parameters
            node = next((one for one in self.findings if f"{MusterBackend.NAME}://{one}" in parameter), "")
        if not node:
            error = f"{name} is about no node: it does not take Testinfra's fixture `host`"
            self.errors += [error] if error not in self.errors else []
            return
        found, fact = self.findings[node], name.removeprefix("test_")
        if report.failed:
            found.failed[fact] = _told(report)
        elif report.skipped:
            found.skipped[fact] = _told(report)
        elif report.when == "call":
            found.passed.append(fact)


def run_tests(
    subjects: Mapping[str, Subject], paths: Sequence[str], root: str, junit: str | None
) -> tuple[dict[str, Findings], list[str]]:
    """Run the tests in ``paths`` against each node.

    :param root: the directory that the names of test modules are relative to.
    :param junit: where to write what was found as JUnit XML.
    :returns: what was found by node, and what hindered tests that are about no node.
    """
    listener = Listener(subjects)
    MusterBackend.subjects = subjects
    testinfra.backend.BACKENDS[MusterBackend.NAME] = f"{__name__}.{MusterBackend.__name__}"
    words = [
        *("-c", os.devnull, "--rootdir", root, "--confcutdir", root, "--import-mode", "importlib"),
        # Nothing of the terminal is ours: the task's own output is its result.
        *("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture", "no"),
        *("-p", "testinfra.plugin", "--hosts", f"{MusterBackend.NAME}://all"),
    ]
    if junit:
        words += ["--junit-xml", junit, "-o", f"junit_suite_name={SUITE}"]
    with _environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS=None, PYTEST_PLUGINS=None):
        code = pytest.main([*words, *paths], plugins=[listener])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not listener.errors:
        listener.errors.append(f"pytest has ended with {pytest.ExitCode(code).name}")
    return listener.findings, listener.errors


@contextmanager
def _environment(**changes: str | None) -> Any:
    before = dict(os.environ)
    for name, value in changes.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _told(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What a test says in a sentence: of an exception its last word, not its trace."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):  # a skip: file, line, reason
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    lines = str(crash.message if crash else longrepr).strip().splitlines()
    # Of a plain `assert`, its values are told on the next line.
    told = " ".join(line.strip() for line in lines[:2]) if crash else lines[-1]
    return told.removeprefix("AssertionError: ").removeprefix("Failed: ")
