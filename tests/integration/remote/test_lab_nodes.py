# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reaching real nodes: other users, sudo, jump hosts, and each way in which a node can fail to answer."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from muster.agent import package
from muster.remote import AgentClient, Dialer, Reply, Target, client_for, fan_out, transport_to

NODES = ("n001", "n002", "n003", "n004")


def target(lab: Any, node: str, **fields: Any) -> Target:
    """A node as its record has it: everything else is in the lab's ssh configuration."""
    return Target(node, ssh_config=str(lab.ssh_config), **{"connect_timeout_s": 20.0, **fields})


@pytest.fixture
def inside(lab: Any) -> Iterator[Dialer]:
    """This thread is where the nodes can be reached."""
    dialer = Dialer()
    with lab.enter():
        yield dialer
        dialer.close()


def ask(target: Target, dialer: Dialer, command: str = "echo here", timeout_s: float = 60) -> Reply:
    transport = transport_to(target, dialer)
    try:
        return transport.run(command, b"", timeout_s)
    finally:
        transport.close()


def test_all_ways_to_the_nodes_bring_the_same(playbooks: Any, lab: Any, inside: Dialer) -> None:
    config = f"-F {lab.ssh_config}"
    ops = {"ansible_user": "ops", "ansible_ssh_common_args": config}
    ways = playbooks.reach(
        {
            "n001": {"ansible_ssh_common_args": config},
            "n002": {**ops, "ansible_become": True},
            "n003": {**ops, "ansible_become": True, "ansible_ssh_common_args": f"{config} -o ProxyJump=n001"},
            "n004": {**ops, "ansible_ssh_extra_args": "-J n001"},
        },
        ["id -un; hostname; exit 3", "printf 'a\\377\\000b'"],
    )
    found = {name: [reply["stdout"] for reply in way["replies"]] for name, way in ways.items()}
    assert found == {name: [f"{'ops' if name == 'n004' else 'root'}\n{name}\n", "a\xff\0b"] for name in NODES}, (
        playbooks.output
    )
    assert {name: way["replies"][0]["transport"] for name, way in ways.items()} == {
        "n001": "fabric",
        "n002": "ansible (ssh)",
        "n003": "ansible (ssh)",
        "n004": "fabric",
    }
    for name, way in ways.items():  # and so does the CLI, which has nothing but the record
        reply = ask(Target.from_document(way["target"]), inside, "id -un; hostname; exit 3")
        assert (reply.rc, reply.stdout.decode()) == (3, found[name][0])
        assert reply.transport == "fabric"


def test_a_sudo_password_is_used_for_its_own_host_and_never_shown(
    playbooks: Any, lab: Any, inside: Dialer, tmp_path: Path
) -> None:
    account = (
        "useradd -m -s /bin/bash careful && echo careful:s3cret | chpasswd && cp -r /home/ops/.ssh /home/careful/ && "
        "chown -R careful: /home/careful && echo 'careful ALL=(ALL) ALL' > /etc/sudoers.d/careful"
    )
    host = {
        "ansible_user": "careful",
        "ansible_ssh_common_args": f"-F {lab.ssh_config}",
        "ansible_become": True,
    }
    hosts = {
        "n001": {**host, "ansible_become_password": "s3cret"},
        "n002": {**host, "ansible_become_password": "wr0ng"},
        "n003": host,
    }
    for node in NODES:
        assert lab.execute(node, "sh", "-c", account).returncode == 0
    ways = playbooks.reach(hosts, ["id -un; cat"], arguments=("-vvv",))
    assert ways["n001"]["replies"][0]["stdout"] == "root\n", ways["n001"]
    for name in ("n002", "n003"):
        assert ways[name]["replies"][0]["error"].startswith(f"{name} cannot be reached over Ansible's connection ssh: ")
        assert "sudo password" in ways[name]["replies"][0]["error"]
    assert "become_user" not in ways["n001"]["target"]
    asked = tmp_path / "password"
    asked.write_text("s3cret\n")
    ways = playbooks.reach({"n003": host, "n004": host}, ["id -un"], arguments=("--become-password-file", str(asked)))
    assert [way["replies"][0]["stdout"] for way in ways.values()] == ["root\n"] * 2
    assert not any(secret in playbooks.output + str(ways) for secret in ("s3cret", "wr0ng"))


def test_a_user_who_may_not_write_the_state_directory_is_told_what_to_do(lab: Any, inside: Dialer) -> None:
    one = target(lab, "n002", user="ops", state_dir="/opt/muster")
    client = client_for(one, transport_to(one, inside), package.version(), package.build)
    reply = client.call(["version"], timeout_s=60)
    assert reply.error is not None and reply.error.code == "install_failed"
    assert "the agent cannot be put into /opt/muster on n002: mkdir:" in reply.error.message
    assert "Permission denied" in reply.error.message
    client.close()


def test_the_agent_is_installed_on_all_nodes_at_once_and_then_costs_one_command(lab: Any, inside: Dialer) -> None:
    def client(node: str) -> AgentClient:
        one = target(lab, node, user="ops", become_user="root", state_dir="/srv/muster test")
        return client_for(one, transport_to(one, inside), package.version(), package.build)

    clients = {node: client(node) for node in NODES}
    for installed, commands in ((True, 3), (False, 4)):
        replies = fan_out({node: lambda node=node: clients[node].call(["inventory"], None, 60) for node in NODES})  # type: ignore[misc]
        for node, outcome in replies.items():
            reply = outcome.get()
            assert reply.ok, reply
            assert reply.payload["node"]["hostname"] == node
            assert reply.payload["node"]["user"] == "root"
            assert (reply.installed, clients[node].commands) == (installed, commands)
    for each in clients.values():
        each.close()


@pytest.mark.parametrize(
    ("fault", "failure", "words"),
    [
        ("refuse", "unreachable", "refused the connection"),
        ("drop", "unreachable", "does not answer: no connection within 3 s"),
        ("hang-ssh", "unreachable", "took the connection but did not answer as an SSH server within 3 s"),
        ("freeze", "unreachable", "took the connection but did not answer as an SSH server within 3 s"),
        ("new-key", "host_key", "ssh-keygen -R"),
    ],
)
def test_each_way_of_being_away_has_its_sentence(
    lab: Any, inside: Dialer, fault: str, failure: str, words: str
) -> None:
    lab.fault(fault, "n004")
    # The last one is no silence, and is to have the time that it takes.
    patience = 20.0 if failure == "host_key" else 3.0
    reply = ask(target(lab, "n004", connect_timeout_s=patience), inside)
    assert reply.failure == failure
    assert reply.error is not None
    assert "n004 (10.77.1.4:22)" in reply.error and words in reply.error


def test_a_node_that_goes_away_while_a_command_runs_times_out_and_is_back_when_it_is_back(
    lab: Any, inside: Dialer
) -> None:
    transport = transport_to(target(lab, "n003"), inside)
    begun = threading.Event()

    def cut(piece: bytes) -> None:
        lab.fault("drop", "n003")
        begun.set()

    reply = transport.run("echo begun; exec sleep 600", b"", 15, cut)
    assert begun.is_set() and reply.failure == "timeout"
    assert reply.error == "n003 (10.77.1.3:22) did not answer within 15 s"
    again = transport.run("echo here", b"", 5)
    assert again.failure == "unreachable" and again.error is not None
    assert again.error.startswith("the connection to n003 (10.77.1.3:22) is dead")
    lab.heal("n003")
    assert transport.run("echo here", b"", 60).stdout == b"here\n"
    transport.close()


def test_a_node_that_only_its_peers_can_reach_is_reached_through_one(lab: Any, inside: Dialer) -> None:
    lab.fault("hide", "n004")
    assert ask(target(lab, "n004", connect_timeout_s=3.0), inside).failure == "unreachable"
    assert ask(target(lab, "n004", jump="n001"), inside).stdout == b"here\n"


def test_one_node_that_is_away_does_not_keep_the_others_waiting(lab: Any, inside: Dialer) -> None:
    lab.fault("drop", "n002")
    order: list[str] = []
    targets = {node: target(lab, node) for node in NODES}
    replies = fan_out(
        {node: lambda node=node: ask(targets[node], inside) for node in NODES},  # type: ignore[misc]
        lambda outcome: order.append(outcome.name),
    )
    assert order[-1] == "n002"
    assert [outcome.get().failure for outcome in replies.values()] == [None, "unreachable", None, None]
