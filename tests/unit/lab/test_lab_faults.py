# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each fault does to a node what it says, and healing undoes it."""

from __future__ import annotations

import pytest

from tests.lab import Lab, LabError
from tests.lab.faults import VERBS

IMPATIENT = ("-o", "ConnectTimeout=2", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2")


def boot_id(lab: Lab, node: str) -> str:
    """What changes with every boot: PID 1's start time (all nodes share the machine's kernel and its boot id)."""
    leader = lab[node].leader()
    assert leader
    return str(leader.start_ticks)


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("power-loss", "No route to host|timed out"),
        ("halt", "refused|timed out"),
        ("cut", "No route to host|timed out"),
        ("drop", "timed out"),
        ("mute", "timed out"),
        ("deaf", "timed out"),
        ("refuse", "refused"),
        ("freeze", "timed out"),
        ("hang-ssh", "timed out"),
        ("new-key", "Host key verification failed"),
    ],
)
def test_ssh_to_a_faulty_node_fails_as_it_would_and_healing_brings_it_back(lab: Lab, verb: str, says: str) -> None:
    lab.fault(verb, "n002")
    patience = ("-o", "ConnectTimeout=20") if verb == "new-key" else IMPATIENT
    done = lab.run(["ssh", "-F", lab.ssh_config, *patience, "n002", "true"])
    assert done.returncode == 255
    assert any(word in done.stderr for word in says.split("|")), done.stderr
    assert lab.ssh("n001", "true").returncode == 0
    lab.heal()
    assert lab.ssh("n002", "true").returncode == 0


def test_a_node_that_lost_power_left_its_peers_without_a_word(lab: Lab) -> None:
    with lab.popen(
        ["ssh", "-F", lab.ssh_config, *IMPATIENT, "n002", "echo ready; cat"], stdin=-1, stdout=-1, stderr=-1
    ) as ssh:
        assert ssh.stdout and ssh.stderr and ssh.stdout.readline() == "ready\n"
        lab.fault("power-loss", "n002")
        assert "not responding" in ssh.stderr.read()


def test_a_reboot_is_a_new_boot_with_the_same_disk(lab: Lab) -> None:
    lab.execute("n002", "touch", "/var/lib/mine")
    before = boot_id(lab, "n002")
    lab.fault("reboot", "n002")
    assert boot_id(lab, "n002") != before
    assert lab.ssh("n002", "ls", "/var/lib/mine").returncode == 0


def test_a_hidden_node_is_reached_through_a_peer_only(lab: Lab) -> None:
    lab.fault("hide", "n002")
    assert lab.run(["ssh", "-F", lab.ssh_config, *IMPATIENT, "n002", "true"]).returncode == 255
    through = lab.run(["ssh", "-F", lab.ssh_config, "-J", "n001", "n002", "hostname"])
    assert through.stdout == "n002\n", through.stderr
    inventory = lab.inventory(nodes=["n001", "n002"], via="n001")
    done = lab.run(["ansible", "-i", inventory, "n002", "-m", "ansible.builtin.raw", "-a", "hostname"])
    assert "n002" in done.stdout.splitlines(), done.stdout + done.stderr


def test_a_full_disk_takes_not_one_more_byte(lab: Lab) -> None:
    write = ("cp", "/etc/passwd", "/var/lib/one")
    lab.fault("fill", "n003")
    assert "No space left" in lab.execute("n003", *write).stderr
    lab.heal()
    assert lab.execute("n003", *write).returncode == 0


def test_a_lossy_and_a_slow_network_still_carry_what_is_sent(lab: Lab) -> None:
    for fault in (("lose", "n003", "20"), ("slow", "n003", "2mbit")):
        lab.fault(*fault)
        assert lab.ssh("n003", "hostname").stdout == "n003\n"
        lab.heal()


def test_an_unknown_fault_names_those_there_are(lab: Lab) -> None:
    with pytest.raises(LabError, match="there is no fault explode; there are power-loss, halt"):
        lab.fault("explode", "n001")


def test_every_fault_says_what_it_does() -> None:
    assert all(act.__doc__ for act in VERBS.values())
