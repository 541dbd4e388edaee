# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests share: the checkout's root is on the path, and the lab's fixtures are there."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# A shell starts what runs in the background with SIGINT ignored, and all its children inherit that: tests of Ctrl-C
# would hang. A handler, other than being deaf, is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.lab.fixtures"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home directory in which ssh's sockets (108 bytes with their path) have room, however tests are run."""
    with tempfile.TemporaryDirectory(prefix="home-") as made:
        yield Path(made)


def pytest_configure(config: pytest.Config) -> None:
    """The mark that ``tests/needs.py`` gives."""
    config.addinivalue_line("markers", "needs(missing): what the test cannot do without, if it is not there")


@pytest.hookimpl(optionalhook=True)  # not there where tests run in one process
def pytest_xdist_auto_num_workers() -> int:
    return min(max(2, os.cpu_count() or 1), 8)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail what cannot be run here."""
    from tests.needs import need  # the checkout's root is on the path from here on

    for mark in item.iter_markers("needs"):
        need(mark.args[0])
