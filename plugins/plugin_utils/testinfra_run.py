# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Testinfra's tests, run in this process, with nodes that are reached as all of Muster reaches them.

Testinfra has ways of its own to a node, which do not template the inventory's variables and start an ssh a command.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
import testinfra.backend
from testinfra.backend.base import BaseBackend, CommandResult

from ..module_utils.remote import Reply, Transport

LONGEST_S = 90.0
SUITE = "muster"
OURS = ("tests", "testinfra")
HOST = "_testinfra_host"
"""The parameter by which Testinfra gives a test its host."""
REACHES = "reaches"
LONGEST_VALUE = 40


@dataclass(frozen=True)
class Subject:
    """One node: how commands are run there, and its variables, as tests see them."""

    transport: Transport
    variables: Callable[[], dict[str, Any]]
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
        return self._subject.variables()

    def run_ansible(self, *_arguments: Any, **_options: Any) -> NoReturn:
        """What ``host.ansible(...)`` would do."""
        raise RuntimeError("modules cannot be run here: use host.run, or pytest without verify.yml")

    @classmethod
    def get_hosts(cls, host: str, **_options: Any) -> list[str]:
        """All of them."""
        return list(cls.subjects) if host in (None, "all") else [host]


class Listener:
    """A plugin of pytest's that notes how each test went."""

    def __init__(self, subjects: Mapping[str, Subject], root: str) -> None:
        self.findings = {name: Findings() for name in subjects}
        self.errors: list[str] = []
        self._subjects = subjects
        self._ours = Path(root, *OURS)

    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, report: Any) -> None:
        """A file could not be read, or a test has failed, of which more is said below."""
        if isinstance(report, pytest.CollectReport):
            self.errors.append(f"{node.path}: {_told(report)}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Nothing can be told of a node that cannot be reached, but that."""
        subject = self._subjects.get(_node_of(item))
        if subject and subject.unreachable and not item.get_closest_marker(REACHES):
            pytest.skip("it cannot be reached")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """A test has ended, or could not be set up."""
        report: pytest.TestReport = yield  # type: ignore[misc, assignment, unused-ignore]
        found = self.findings.get(_node_of(item))
        fact = self._fact_of(item)
        if found is None:
            error = f"{fact} is about no node: it does not take Testinfra's fixture `host`"
            self.errors += [error] if error not in self.errors else []
        elif report.failed:
            found.failed[fact] = _told(report)
        elif report.skipped:
            found.skipped[fact] = _told(report)
        elif report.when == "call":
            found.passed.append(fact)
        return report  # type: ignore[return-value, unused-ignore]

    def _fact_of(self, item: pytest.Item) -> str:
        """The name without ``test_``; of the user's own with its file's before it, and with further parameters."""
        name = getattr(item, "originalname", item.name).removeprefix("test_")
        callspec = getattr(item, "callspec", None)
        parameters = callspec.params if callspec else {}
        others = [str(value)[:LONGEST_VALUE] for key, value in parameters.items() if key != HOST]
        own = "" if item.path.parent == self._ours else f"{item.path.stem.removeprefix('test_')}."
        return own + name + (f"[{', '.join(others)}]" if others else "")


def _node_of(item: pytest.Item) -> str:
    """The name of the node that a test is about; empty if it is about none."""
    callspec = getattr(item, "callspec", None)
    host = callspec.params.get(HOST) if callspec else None
    return str(host.backend.get_hostname()) if host else ""


def run_tests(
    subjects: Mapping[str, Subject], paths: Iterable[str], root: str, junit: str | None
) -> tuple[dict[str, Findings], list[str]]:
    """Run the collection's tests, and those in ``paths``, against each node.

    :param root: the directory of the collection.
    :param junit: where to write what was found as JUnit XML.
    :returns: what was found by node, and what hindered tests that are about no node.
    :raises OSError: the JUnit XML could not be written.
    """
    listener = Listener(subjects, root)
    ours = os.path.join(root, *OURS)
    MusterBackend.subjects = subjects
    testinfra.backend.BACKENDS[MusterBackend.NAME] = f"{__name__}.{MusterBackend.__name__}"
    words = [
        *("-c", os.devnull, "--rootdir", root, "--confcutdir", ours, "--import-mode", "importlib"),
        # Nothing of the terminal is ours: the task's own output is its result.
        *("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture", "no"),
        *("-p", "testinfra.plugin", "--hosts", f"{MusterBackend.NAME}://all"),
    ]
    if junit:
        words += ["--junit-xml", junit, "-o", f"junit_suite_name={SUITE}"]
    complaints = io.StringIO()
    with (
        _environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS=None, PYTEST_PLUGINS=None),
        contextlib.redirect_stderr(complaints),
    ):
        code = pytest.main([*words, ours, *paths], plugins=[listener])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not listener.errors:
        said = complaints.getvalue().strip().rpartition("\n")[2].removeprefix("E").strip()
        listener.errors.append(said or f"pytest has ended with {pytest.ExitCode(code).name}")
    return listener.findings, listener.errors


@contextlib.contextmanager
def _environment(**changes: str | None) -> Iterator[None]:
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
    crash, missing = getattr(longrepr, "reprcrash", None), getattr(longrepr, "errorstring", None)
    lines = str(crash.message if crash else missing or longrepr).strip().splitlines()
    # Of an `assert` without words, its values are told on the next line; of all else the last line is the exception.
    plain = bool(crash) and lines[0].removeprefix("AssertionError: ").startswith("assert ")
    told = " ".join(line.strip() for line in lines[:2]) if plain else lines[0 if crash or missing else -1]
    return told.removeprefix("E ").strip().removeprefix("AssertionError: ").removeprefix("Failed: ")
