# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pytest fixtures for real nodes: `lab` (four of them), `lab_of` (as many as asked for). A test that uses one is marked `lab`.

Where there is no lab (no root, no Debian, tools missing) such tests skip and say why; with MUSTER_REQUIRE_LAB=1 they fail.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .lab import Lab
from .process import Process

TOOLS = ("systemd-nspawn", "debootstrap", "ip", "nft", "tc", "ssh", "ssh-keygen", "nsenter", "unshare", "mount")
FIXTURES = {"lab", "lab_of"}

LabOf = Callable[..., Lab]


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker."""
    config.addinivalue_line("markers", "lab: needs real nodes (root and Debian); set for every test that uses the lab's fixtures")


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


@pytest.fixture(scope="session")
def lab_of() -> Iterator[LabOf]:
    """`lab_of(n, **options)`: a lab of n nodes (options: of Lab.up), the same one for the same question, down at the end."""
    reason = missing()
    if reason:
        refuse = pytest.fail if os.environ.get("MUSTER_REQUIRE_LAB") == "1" else pytest.skip
        refuse(reason)
    made: dict[str, Lab] = {}
    with ExitStack() as stack:

        def lab_of(count: int, **options: Any) -> Lab:
            question = repr((count, sorted(options.items())))
            if question not in made:
                name = f"pytest-{os.getpid()}-{len(made)}"
                made[question] = stack.enter_context(Lab.up(count, name, owner=Process.me(), **options))
            return made[question]

        yield lab_of


@pytest.fixture(scope="session")
def lab(lab_of: LabOf) -> Lab:
    """Four nodes, n001 to n004."""
    return lab_of(4)
