# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes that are this machine, reached in every way the library has: over a real sshd, directly, through sudo."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from muster.remote import Dialer, Target, Transport, transport_to

from tests.needs import need
from tests.unit.remote import sshd as server


@pytest.fixture
def dialer() -> Iterator[Dialer]:
    """What the connections of one test share."""
    dialer = Dialer()
    yield dialer
    dialer.close()


def _sudo_works() -> bool:
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["fabric", "local", "sudo"])
def transport(request: pytest.FixtureRequest, dialer: Dialer) -> Iterator[Transport]:
    """Each of the library's transports to a node n1."""
    if request.param == "local":
        target = Target("n1", transport="local")
    else:
        sshd: server.Sshd = request.getfixturevalue("sshd")
        target = Target(**sshd.fields())
        if request.param == "sudo":
            if not _sudo_works():
                need("this user cannot run sudo without a password")
            target = Target(**sshd.fields(become_user="root"))
    transport = transport_to(target, dialer)
    yield transport
    transport.close()
