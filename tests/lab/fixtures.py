# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pytest fixtures for real nodes: `lab` (four of them), `torch_lab` (with PyTorch), `lab_of` (as many as asked for).

A test that uses one is marked `lab`. Where there is no lab (no root, no Debian, tools missing) it skips and says why;
with MUSTER_REQUIRE_LAB=1 it fails.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ..needs import need
from .lab import Lab
from .process import Process
from .pytorch import torch

TOOLS = ("systemd-nspawn", "debootstrap", "ip", "nft", "tc", "ssh", "ssh-keygen", "nsenter", "unshare", "mount")
FIXTURES = {"lab", "lab_of", "torch_lab"}


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker."""
    config.addinivalue_line("markers", "lab: needs real nodes (root, Debian); set by itself where a test uses them")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the lab, so that `-m 'not lab'` leaves them out."""
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("lab")


def missing() -> str | None:
    """Why there can be no lab on this machine, in one sentence; None if there can."""
    if platform.system() != "Linux":
        return "the lab needs Linux"
    if platform.freedesktop_os_release().get("ID") != "debian":
        return "the lab needs Debian"
    if os.geteuid() != 0:
        return "the lab needs root"
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"the lab needs {', '.join(absent)}: run tests/lab/install.sh"
    return None


class Labs:
    """The labs of this test run: `labs(4)` brings up four nodes; asked the same again, it hands on the same lab."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[str, Lab] = {}

    def __call__(self, count: int, **options: Any) -> Lab:
        """A lab of `count` nodes; `options`: of Lab.up."""
        question = repr((count, sorted(options.items())))
        if question not in self._made:
            name = f"pytest-{os.getpid()}-{len(self._made)}"
            self._made[question] = self._stack.enter_context(Lab.up(count, name, owner=Process.me(), **options))
        return self._made[question]

    def heal(self) -> None:
        """Undo all faults in all of them."""
        for lab in self._made.values():
            lab.heal()


@pytest.fixture(scope="session")
def lab_of() -> Iterator[Labs]:
    """`lab_of(n)`: a lab of n nodes, down at the end of the test run."""
    need(missing())
    with ExitStack() as stack:
        yield Labs(stack)


@pytest.fixture(autouse=True)
def _healed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Undo the faults that a test injected, and power on what it left off."""
    labs = request.getfixturevalue("lab_of") if "lab_of" in request.fixturenames else None
    yield
    if labs:
        labs.heal()


@pytest.fixture(scope="session")
def lab(lab_of: Labs) -> Lab:
    """Four nodes, n001 to n004."""
    return lab_of(4)


@pytest.fixture(scope="session")
def torch_lab(lab_of: Labs) -> Lab:
    """Four nodes that have torch: tests.lab.pytorch.PYTHON is the interpreter there."""
    return lab_of(4, binds=torch())
