# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent reads of its machine: interfaces, processes, memory kills, and questions that may never be
answered."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
from muster.agent import interfaces, isolated, oom, processes

from tests.unit.agent.node import until


def test_the_loopback_addresses_are_found_on_their_interface() -> None:
    assert ("lo", "127.0.0.1") in interfaces.addresses()
    assert "lo" in interfaces.names()


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1"])
def test_the_loopback_interface_leads_to_this_machine(peer: str) -> None:
    if ":" in peer and not any(address == peer for _interface, address in interfaces.addresses()):
        pytest.skip("no IPv6 here")
    assert interfaces.towards(peer) == "lo"


def test_every_address_of_this_machine_is_reached_by_an_interface_of_it() -> None:
    for _interface, address in interfaces.addresses():
        if not address.startswith("fe80"):
            assert interfaces.towards(address) in interfaces.names()


def test_no_interface_leads_to_what_is_no_address() -> None:
    assert interfaces.towards("256.1.1.1") is None


def test_a_process_is_known_by_its_start_time_too() -> None:
    ticks = processes.start_ticks(os.getpid())
    assert ticks is not None
    assert processes.lives(os.getpid(), ticks)
    assert not processes.lives(os.getpid(), ticks + 1)


def test_a_process_with_spaces_and_brackets_in_its_name_is_read() -> None:
    rename = "import time; open('/proc/self/comm', 'w').write('a) Z 1 (b'); print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", rename], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = processes.read(child.pid)
        child.kill()
    assert process is not None
    assert (process.parent, process.alive) == (os.getpid(), True)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    until(lambda: not (processes.read(child.pid) or pytest.fail("reaped")).alive, "it has ended")
    child.wait()
    assert processes.read(child.pid) is None


@pytest.fixture(params=["pidfd", "without pidfd"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    if request.param != "pidfd":
        monkeypatch.setattr(os, "pidfd_open", refuse)


@pytest.mark.usefixtures("kernel")
def test_waiting_for_a_process_ends_with_it() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        ticks = processes.start_ticks(child.pid)
        assert not processes.wait_gone(child.pid, ticks, 0.05)
        child.kill()
        assert processes.wait_gone(child.pid, ticks, 30)
        assert processes.wait_gone(child.pid, ticks, 30)


@pytest.mark.usefixtures("kernel")
def test_a_signal_hits_only_the_process_that_was_meant() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        process = processes.read(child.pid)
        assert process is not None
        processes.send(processes.Process(child.pid, 0, process.start_ticks + 1, True), signal.SIGKILL)
        assert child.poll() is None
        processes.send(process, signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL
        processes.send(process, signal.SIGKILL)


def test_descendants_are_found_through_sessions() -> None:
    with subprocess.Popen(["sh", "-c", "setsid sleep 600 & wait"]) as child:
        found = until(lambda: processes.descendants([child.pid]), "the grandchild is there")
        for process in found:
            processes.send(process, signal.SIGKILL)
    assert processes.descendants([child.pid]) == []


def test_memory_kills_are_counted_where_the_kernel_tells() -> None:
    kills = oom.kills()
    assert kills is None or kills >= 0


def test_an_answer_comes_back_from_a_process_of_its_own() -> None:
    assert isolated.ask(lambda: {"pid": os.getpid()}, 30)["pid"] != os.getpid()


def test_a_large_answer_comes_back_whole() -> None:
    assert len(isolated.ask(lambda: "x" * 1_000_000, 30)) == 1_000_000


def test_no_answer_in_time_is_said() -> None:
    with pytest.raises(isolated.NoAnswer, match=r"did not answer within 0\.1 s"):
        isolated.ask(lambda: time.sleep(600), 0.1)


def test_a_crash_is_said() -> None:
    with pytest.raises(isolated.NoAnswer, match="killed by signal 11"):
        isolated.ask(lambda: os.kill(os.getpid(), signal.SIGSEGV), 30)


def test_an_error_is_said() -> None:
    def fail() -> None:
        raise ValueError("no such thing")

    with pytest.raises(isolated.NoAnswer, match="failed: ValueError: no such thing"):
        isolated.ask(fail, 30)
