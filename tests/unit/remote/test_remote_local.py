# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes that are this machine."""

from pathlib import Path

from muster.agent import processes
from muster.remote import LocalTransport, Target

from tests.unit.remote.waiting import until


def test_the_time_limit_kills_all_that_the_command_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    transport = LocalTransport(Target("n1", transport="local"))
    reply = transport.run(f"sleep 600 & echo $! > {pid}; wait", b"", 5.0)
    assert reply.failure == "timeout"
    child = int(pid.read_text())
    until(lambda: not ((one := processes.read(child)) and one.alive), "the child is gone")
