# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Getting to a node over SSH, and the one sentence for each way of not getting there."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from muster.remote import Dialer, Reply, Target, fan_out, transport_to

from tests.unit.remote.sshd import Sshd, keygen


def ask(dialer: Dialer, fields: dict[str, Any]) -> Reply:
    """Run a command on the node, once."""
    transport = transport_to(Target(**fields), dialer)
    try:
        return transport.run("echo here", b"", 60)
    finally:
        transport.close()


def gets_in(dialer: Dialer, fields: dict[str, Any]) -> bool:
    """Whether the node is reached; fails on any error but a refusal of ours or of the node."""
    reply = ask(dialer, fields)
    assert reply.error is None or reply.failure in ("auth", "host_key"), reply.error
    return reply.stdout == b"here\n"


def test_a_closed_port_is_named(sshd: Sshd, dialer: Dialer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reply = ask(dialer, sshd.fields(port=port))
    assert reply.failure == "unreachable"
    assert reply.error == f"n1 (127.0.0.1:{port}) refused the connection: is sshd running there, and on this port?"


def test_a_server_that_says_nothing_is_given_up(sshd: Sshd, dialer: Dialer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reply = ask(dialer, sshd.fields(port=port, connect_timeout_s=1.0))
    assert reply.failure == "unreachable"
    assert reply.error == f"n1 (127.0.0.1:{port}) took the connection but did not answer as an SSH server within 1 s"


def test_a_node_whose_packets_are_lost_is_given_up(sshd: Sshd, dialer: Dialer) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # the kernel drops connection requests while the queue of those not yet accepted is full
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        reply = ask(dialer, sshd.fields(port=listener.getsockname()[1], connect_timeout_s=1.0))
    assert reply.error is not None and "does not answer: no connection within 1 s" in reply.error


def test_a_name_that_does_not_resolve_is_named(sshd: Sshd, dialer: Dialer) -> None:
    reply = ask(dialer, sshd.fields(host="no-such-node.invalid"))
    assert reply.error is not None
    assert reply.error.startswith(f"n1 (no-such-node.invalid:{sshd.port}) cannot be found: the name does not resolve")


def test_what_paramiko_logs_is_not_shown(sshd: Sshd) -> None:
    program = (
        "import socket, sys; from muster.remote import *; listener = socket.create_server(('127.0.0.1', 0));"
        "way = {'host': '127.0.0.1', 'port': listener.getsockname()[1], 'ssh_config': 'none', 'connect_timeout_s': 1};"
        "print(transport_to(Target('n1', **way), Dialer()).run('true').failure)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("unreachable\n", "")


def test_something_else_than_ssh_is_said_to_be_that(sshd: Sshd, dialer: Dialer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import socket,sys; s=socket.socket(fileno=0).accept()[0]; s.sendall(b'220 hi\\r\\n'*3)",
            ],
            stdin=listener.fileno(),
        )
        reply = ask(dialer, sshd.fields(port=listener.getsockname()[1], connect_timeout_s=5.0))
        process.wait(60)
    assert reply.failure == "unreachable"
    assert reply.error is not None and "SSH" in reply.error


def test_a_connection_that_breaks_is_an_error_and_the_next_command_connects_again(sshd: Sshd, dialer: Dialer) -> None:
    transport = transport_to(Target(**sshd.fields()), dialer)
    reply = transport.run("kill -KILL $PPID; sleep 600", b"", 60)
    assert reply.failure == "unreachable"
    assert reply.error is not None
    assert reply.error.startswith(f"the connection to n1 (127.0.0.1:{sshd.port}) broke while a command ran")
    assert transport.run("echo back", b"", 60).stdout == b"back\n"
    transport.close()


def test_commands_of_one_node_share_a_connection(sshd: Sshd, dialer: Dialer) -> None:
    before = sshd.logins()
    transport = transport_to(Target(**sshd.fields()), dialer)
    for _ in range(3):
        assert transport.run("true", b"", 60).rc == 0
    transport.close()
    assert sshd.logins() == before + 1


def test_without_fabric_the_error_says_what_to_install(dialer: Dialer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fabric", None)
    reply = ask(dialer, {"name": "n1"})
    assert reply.failure == "setup"
    assert reply.error is not None and "pip install fabric" in reply.error


def test_an_unknown_host_is_refused_unless_checking_is_off(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    reply = ask(dialer, sshd.fields(known_hosts=(str(empty),)))
    assert reply.failure == "host_key"
    assert reply.error is not None
    assert reply.error.startswith(f"the host key of n1 (127.0.0.1:{sshd.port}) is not in {empty}: ")
    assert gets_in(dialer, sshd.fields(known_hosts=(str(empty),), host_key_checking="no"))
    assert not empty.exists()


def test_a_changed_host_key_is_refused_even_when_new_ones_are_accepted(
    sshd: Sshd, dialer: Dialer, tmp_path: Path
) -> None:
    other = keygen(tmp_path / "other").with_suffix(".pub").read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    for checking in (None, "yes", "accept-new"):
        reply = ask(dialer, sshd.fields(known_hosts=(str(known),), host_key_checking=checking))
        assert reply.failure == "host_key"
        assert reply.error is not None and f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'" in reply.error


def test_a_revoked_host_key_is_refused(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"{sshd.known_hosts.read_text()}@revoked * {sshd.host_key()}\n")
    reply = ask(dialer, sshd.fields(known_hosts=(str(known),)))
    assert reply.error is not None and "revoked" in reply.error


def test_a_new_host_is_written_down_once_and_known_from_then_on(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "new" / "known_hosts"
    for checking in ("accept-new", "accept-new", "yes"):
        dialer = Dialer()
        for _ in range(2):
            assert gets_in(dialer, sshd.fields(known_hosts=(str(known),), host_key_checking=checking))
        dialer.close()
    assert known.read_text().startswith(f"[127.0.0.1]:{sshd.port} ")
    assert len(known.read_text().splitlines()) == 1


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_host_known_by_a_key_of_any_type_is_known(sshd: Sshd, dialer: Dialer, tmp_path: Path, kind: str) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key(kind)}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    assert gets_in(dialer, sshd.fields(known_hosts=(str(known),)))


def test_a_host_known_without_its_port_is_known(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"127.0.0.1 {sshd.host_key()}\n")
    assert gets_in(dialer, sshd.fields(known_hosts=(str(known),)))


def test_a_key_that_is_not_accepted_is_named(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    wrong = keygen(tmp_path / "wrong")
    reply = ask(dialer, sshd.fields(key_files=(str(wrong),), identities_only=True))
    assert reply.failure == "auth"
    assert reply.error is not None
    assert reply.error.startswith(f"cannot log in to n1 (127.0.0.1:{sshd.port}) as {sshd.user}: ")
    assert f"none of the keys tried ({wrong})" in reply.error


def test_a_key_file_that_is_missing_or_locked_is_named(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    locked = keygen(tmp_path / "locked", passphrase="a secret")
    absent = tmp_path / "absent"
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("not a key\n")
    names = tuple(map(str, (locked, absent, rubbish)))
    reply = ask(dialer, sshd.fields(key_files=names, identities_only=True))
    assert reply.failure == "auth"
    assert reply.error is not None
    assert f"{locked}: it needs a passphrase; add it to the ssh agent" in reply.error
    assert f"{absent}: there is no such file" in reply.error
    assert f"{rubbish}: it is not a key that paramiko reads" in reply.error
    assert gets_in(dialer, sshd.fields(key_files=(*names, str(sshd.key)), identities_only=True))


@contextmanager
def ssh_agent(directory: Path) -> Iterator[Path]:
    """A real ssh-agent; gives its socket."""
    path = directory / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert process.poll() is None
        yield path
    finally:
        process.terminate()
        process.wait()


def add_to(agent: Path, key: Path) -> None:
    """Put a key without passphrase into the agent."""
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment, stdin=subprocess.DEVNULL)


def test_keys_of_the_agent_are_used_by_many_threads_at_once(
    sshd: Sshd, dialer: Dialer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with ssh_agent(tmp_path) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        add_to(agent, sshd.key)
        nodes = [f"n{number}" for number in range(8)]
        fields = {name: sshd.fields(name=name, key_files=()) for name in nodes}
        replies = fan_out({name: lambda name=name: ask(dialer, fields[name]) for name in nodes})  # type: ignore[misc]
        assert [outcome.get().stdout for outcome in replies.values()] == [b"here\n"] * 8
        assert not gets_in(dialer, sshd.fields(key_files=(), identities_only=True))


def test_a_locked_key_is_used_from_the_agent(
    sshd: Sshd, dialer: Dialer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "id"
    copy.write_bytes(sshd.key.read_bytes())
    copy.chmod(0o600)
    copy.with_suffix(".pub").write_text(sshd.key.with_suffix(".pub").read_text())
    with ssh_agent(tmp_path) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        add_to(agent, copy)
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "a secret", "-f", str(copy)], check=True, capture_output=True)
        assert gets_in(dialer, sshd.fields(key_files=(str(copy),), identities_only=True))


def test_the_named_key_comes_before_a_crowd_of_keys_in_the_agent(
    sshd: Sshd, dialer: Dialer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_agent(tmp_path) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        for number in range(6):  # the server allows four tries
            add_to(agent, keygen(tmp_path / f"other{number}"))
        assert gets_in(dialer, sshd.fields())
        reply = ask(dialer, sshd.fields(key_files=(str(tmp_path / "other0"),)))
        assert reply.failure == "auth"
        assert reply.error is not None and "MaxAuthTries" in reply.error


def test_the_ssh_configuration_is_honoured_with_what_it_includes(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"fleet {sshd.host_key()}\n")
    (tmp_path / "more.conf").write_text(f"Host *.alias\n  Port {sshd.port}\n  HostKeyAlias fleet\n")
    config = tmp_path / "config"
    config.write_text(
        f"Host one.alias\n  Include {tmp_path}/mo*.conf\n  HostName 127.0.0.1\n"
        f"Host *.alias\n  User {sshd.user}\n  IdentityFile {sshd.key}\n  UserKnownHostsFile {known}\n"
    )
    plain = {"name": "n1", "host": "one.alias", "ssh_config": str(config)}
    assert gets_in(dialer, plain)
    assert dialer.host_of(Target(**plain)) == "127.0.0.1"
    known.write_text("")
    assert not gets_in(Dialer(), plain)
    config.write_text(config.read_text() + "  StrictHostKeyChecking no\n")
    assert gets_in(Dialer(), plain)


def test_an_ssh_configuration_that_cannot_be_read_is_named(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    reply = ask(dialer, sshd.fields(ssh_config=str(tmp_path / "absent")))
    assert reply.failure == "setup"
    assert reply.error is not None and str(tmp_path / "absent") in reply.error


def test_a_proxy_command_is_used(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    relay = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/%p; cat <&3 & exec cat >&3' 2>/dev/null"
    config.write_text(f"Host nowhere.invalid\n  ProxyCommand {relay}\n")
    known = tmp_path / "known_hosts"
    known.write_text(f"nowhere.invalid {sshd.host_key()}\n")
    fields = sshd.fields(host="nowhere.invalid", ssh_config=str(config), known_hosts=(str(known),))
    assert gets_in(dialer, fields)


def jumping(sshd: Sshd, directory: Path, *, jump: str = "bastion", known: bool = True) -> dict[str, Any]:
    """The fields of a target behind a jump host; both are the same server under two names."""
    hosts = directory / "bastion_known_hosts"
    hosts.write_text(f"bastion-key {sshd.host_key()}\n" if known else "")
    config = directory / "config"
    config.write_text(
        f"Host bastion*\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n  HostKeyAlias bastion-key\n"
        f"  IdentityFile {sshd.key}\n  UserKnownHostsFile {hosts}\n"
    )
    return sshd.fields(ssh_config=str(config), jump=jump)


def test_nodes_behind_a_jump_host_share_one_connection_to_it(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    fields = jumping(sshd, tmp_path)
    before = sshd.logins()
    names = [f"n{number}" for number in range(6)]
    replies = fan_out({name: lambda name=name: ask(dialer, fields | {"name": name}) for name in names})  # type: ignore[misc]
    assert [outcome.get().stdout for outcome in replies.values()] == [b"here\n"] * 6
    assert sshd.logins() == before + 6 + 1


def test_a_chain_of_jump_hosts_is_followed_in_order(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    before = sshd.logins()
    assert gets_in(dialer, jumping(sshd, tmp_path, jump=f"bastion,{sshd.user}@bastion2:{sshd.port}"))
    assert sshd.logins() == before + 3


def test_a_jump_host_of_the_ssh_configuration_is_used(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    fields = jumping(sshd, tmp_path) | {"jump": None}
    config = tmp_path / "config"
    config.write_text(config.read_text() + "Host 127.*\n  ProxyJump bastion\n")
    before = sshd.logins()
    assert gets_in(dialer, fields)
    assert sshd.logins() == before + 2


def test_the_host_key_of_a_jump_host_is_checked(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    reply = ask(dialer, jumping(sshd, tmp_path, known=False) | {"host_key_checking": "no"})
    assert reply.failure == "host_key"
    assert reply.error is not None
    assert reply.error.startswith(f"n1 lies behind a jump host: the host key of bastion (127.0.0.1:{sshd.port})")


def test_a_node_that_its_jump_host_cannot_reach_is_named(sshd: Sshd, dialer: Dialer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reply = ask(dialer, jumping(sshd, tmp_path) | {"port": port})
    assert reply.failure == "unreachable"
    assert reply.error is not None
    assert reply.error.startswith(f"n1 (127.0.0.1:{port}) cannot be reached from its jump host")


def test_a_greeting_of_the_shell_comes_before_the_output(sshd: Sshd, dialer: Dialer) -> None:
    reply = ask(dialer, sshd.fields(key_files=(str(sshd.noisy_key),)))
    assert reply.stdout == b"Welcome to the cluster!\nhere\n"


def test_threads_do_not_see_each_others_half_made_connections(dialer: Dialer) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # a thread may be interrupted anywhere
    try:
        target = Target(name="n1", user="ops", ssh_config="none")
        outcomes = fan_out({str(n): lambda: [dialer.host_of(target) for _ in range(50)] for n in range(16)})
    finally:
        sys.setswitchinterval(before)
    assert [outcome.error for outcome in outcomes.values() if outcome.error] == []
