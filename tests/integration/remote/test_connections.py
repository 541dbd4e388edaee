# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way leads to a host, by what the inventory, the play and the command line say, and what comes back over it."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs
from tests.unit.remote.sshd import Sshd
from tests.unit.remote.test_remote_dial import add_to, ssh_agent

Hosts = dict[str, dict[str, Any]]


@pytest.fixture
def everyway(plain: dict[str, Any]) -> Hosts:
    """The same machine, reached in each of the ways that need no other user."""
    return {
        "fabric": plain,
        "ansible_ssh": {**plain, "muster_transport": "ansible"},
        "local": {"ansible_connection": "local"},
        "ansible_local": {"ansible_connection": "local", "muster_transport": "ansible"},
    }


TRANSPORTS = {
    "fabric": "fabric",
    "ansible_ssh": "ansible (ssh)",
    "local": "local",
    "ansible_local": "ansible (local)",
}


def test_every_way_brings_the_same_bytes_and_exit_codes(playbooks: Any, everyway: Hosts, tmp_path: Path) -> None:
    stdin = tmp_path / "stdin"
    stdin.write_bytes(bytes(range(256)) * 4096)
    commands = [
        "sha256sum | cut -c-64",
        "cat >/dev/null; head -c 1000000 /dev/zero | tr '\\000' '\\377'",
        "cat >/dev/null; printf 'a\\r\\nb\\000\\377'; exit 3",
        "cat >/dev/null; printf 'to stderr' >&2; exit 126",
        "cat >/dev/null; test -t 0 || test -t 1 || test -t 2 || printf 'no terminal'",
    ]
    ways = playbooks.reach(everyway, commands, stdin=str(stdin))
    assert {name: way["replies"][0]["transport"] for name, way in ways.items()} == TRANSPORTS
    for way in ways.values():
        replies = way["replies"]
        assert [reply["error"] for reply in replies] == [None] * 5
        assert replies[0]["stdout"].strip() == hashlib.sha256(stdin.read_bytes()).hexdigest()
        assert replies[1]["sha256"] == hashlib.sha256(b"\xff" * 1_000_000).hexdigest()
        assert (replies[2]["rc"], replies[2]["stdout"]) == (3, "a\r\nb\0\xff")
        assert replies[3]["rc"] == 126 and "to stderr" in replies[3]["stderr"]
        assert replies[4]["stdout"] == "no terminal"


def test_every_way_gives_a_command_an_empty_stdin_and_a_time_limit(playbooks: Any, everyway: Hosts) -> None:
    ways = playbooks.reach(everyway, ["cat; echo end", "exec sleep 60", "echo next"], timeout_s=10)
    for way in ways.values():
        first, slow, after = way["replies"]
        assert (first["rc"], first["stdout"], first["error"]) == (0, "end\n", None)
        assert (slow["rc"], slow["failure"]) == (None, "timeout")
        assert after["stdout"] == "next\n"


def test_a_target_is_plain_data_for_those_who_have_no_inventory(playbooks: Any, everyway: Hosts, sshd: Sshd) -> None:
    ways = playbooks.reach(everyway)
    expected = {
        "host": sshd.address,
        "port": sshd.port,
        "user": sshd.user,
        "key_files": [str(sshd.key)],
        "known_hosts": [str(sshd.known_hosts)],
        "ssh_config": "none",
    }
    assert ways["fabric"]["target"] == {"name": "fabric", **expected}
    assert ways["ansible_ssh"]["target"] == {"name": "ansible_ssh", **expected}
    assert ways["local"]["target"]["transport"] == "local"
    assert all(way["tagged"] == [] for way in ways.values())


def test_a_host_that_cannot_be_reached_is_told_in_a_sentence_of_its_own(
    playbooks: Any, plain: dict[str, Any], tmp_path: Path
) -> None:
    hosts: Hosts = {
        "closed": {**plain, "ansible_port": 1},
        "closed_too": {**plain, "ansible_port": 1, "muster_transport": "ansible"},
        "keyless": {**plain, "ansible_ssh_private_key_file": str(tmp_path / "absent")},
        "stranger": {**plain, "ansible_ssh_common_args": "-F none -o UserKnownHostsFile=/dev/null"},
        "good": plain,
    }
    ways = playbooks.reach(hosts, environment={"HOME": str(tmp_path), "SSH_AUTH_SOCK": ""})
    failures = {name: way["replies"][0]["failure"] for name, way in ways.items()}
    assert failures == {
        "closed": "unreachable",
        "closed_too": "unreachable",
        "keyless": "auth",
        "stranger": "host_key",
        "good": None,
    }
    for name in set(hosts) - {"good"}:
        assert name in ways[name]["replies"][0]["error"]
    assert ways["closed"]["replies"][0]["error"].startswith("closed (127.0.0.1:1) refused the connection")
    assert f"{tmp_path / 'absent'}: there is no such file" in ways["keyless"]["replies"][0]["error"]


def test_host_key_checking_is_ansibles(playbooks: Any, plain: dict[str, Any]) -> None:
    hosts = {"n1": {**plain, "ansible_ssh_common_args": "-F none -o UserKnownHostsFile=/dev/null"}}
    ways = playbooks.reach(hosts, environment={"ANSIBLE_HOST_KEY_CHECKING": "False"})
    assert ways["n1"]["replies"][0]["stdout"] == "here\n"
    assert ways["n1"]["target"]["host_key_checking"] == "no"


def test_openssh_is_asked_when_fabric_cannot_log_in(
    playbooks: Any, plain: dict[str, Any], sshd: Sshd, tmp_path: Path, home: Path
) -> None:
    with ssh_agent(home) as agent:  # paramiko does not know IdentityAgent
        add_to(agent, sshd.key)
        config = tmp_path / "config"
        config.write_text(f"IdentityAgent {agent}\nUserKnownHostsFile {sshd.known_hosts}\n")
        host = {
            key: value
            for key, value in plain.items()
            if key not in ("ansible_ssh_private_key_file", "ansible_ssh_common_args")
        }
        host["ansible_ssh_extra_args"] = f"-F {config}"
        hosts = {"auto": host, "fabric": {**host, "muster_transport": "fabric"}}
        ways = playbooks.reach(hosts, ["echo one", "echo two"], environment={"HOME": str(home), "SSH_AUTH_SOCK": ""})
    assert [reply["transport"] for reply in ways["auto"]["replies"]] == ["ansible (ssh)"] * 2
    assert [reply["stdout"] for reply in ways["auto"]["replies"]] == ["one\n", "two\n"]
    assert ways["fabric"]["replies"][0]["failure"] == "auth"


def test_without_fabric_ansible_reaches_all(playbooks: Any, everyway: Hosts, tmp_path: Path) -> None:
    (tmp_path / "fabric.py").write_text("raise ImportError('not installed')")
    ways = playbooks.reach(everyway, environment={"PYTHONPATH": str(tmp_path)})
    assert [way["replies"][0]["stdout"] for way in ways.values()] == ["here\n"] * 4
    assert ways["fabric"]["replies"][0]["transport"] == "ansible (ssh)"


def test_arguments_of_ssh_become_fields_where_they_are_known_and_ansibles_business_where_not(
    playbooks: Any, sshd: Sshd, tmp_path: Path
) -> None:
    base = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    known = {
        "jump": ("-J ops@bastion", {"jump": "ops@bastion"}),
        "jump_option": ("-o ProxyJump=bastion:2222", {"jump": "bastion:2222"}),
        "jump_idiom": ("-o ProxyCommand='ssh -W %h:%p -q ops@bastion'", {"jump": "ops@bastion"}),
        "config": ("-F fleet.conf", {"ssh_config": str(tmp_path / "fleet.conf")}),
        "no_matter": ("-C -q -oControlMaster=auto -o 'ControlPath /x/%C' -o LogLevel=ERROR -o BatchMode=yes", {}),
        "strict": ("-o StrictHostKeyChecking=accept-new", {"host_key_checking": "accept-new"}),
        "identity": ("-i one -o IdentityFile=two -o IdentitiesOnly=yes", {"identities_only": True}),
        "first": ("-l one -o User=two", {"user": "one"}),
    }
    hosts: Hosts = {name: {**base, "ansible_ssh_common_args": words} for name, (words, _) in known.items()}
    unknown = {
        "proxy": {"ansible_ssh_common_args": "-o ProxyCommand='nc -X connect -x proxy:3128 %h %p'"},
        "proxy_port": {"ansible_ssh_common_args": "-o ProxyCommand='ssh -p 2222 -W %h:%p bastion'"},
        "tunnel": {"ansible_ssh_extra_args": "-L 8080:localhost:80"},
        "binary": {"ansible_ssh_executable": "/opt/wrapper"},
        "password": {"ansible_password": "a secret"},
    }
    hosts |= {name: {**base, **variables} for name, variables in unknown.items()}
    ways = playbooks.reach(hosts, timeout_s=30)
    for name, (_, fields) in known.items():
        rest = {key: value for key, value in ways[name]["target"].items() if key not in ("name", "host", "port")}
        assert rest.pop("key_files", []) == (
            [str(tmp_path / "one"), str(tmp_path / "two")] if name == "identity" else []
        )
        assert rest == fields, name
    assert [ways[name]["target"] for name in unknown] == [None] * len(unknown)
    assert "a secret" not in playbooks.output


def sudo_works() -> bool:
    """Whether this user becomes another without a password."""
    try:
        return subprocess.run(["sudo", "-n", "-u", "nobody", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@needs(sudo_works(), "this user cannot run sudo without a password")
def test_become_counts_wherever_it_is_said(playbooks: Any, everyway: Hosts, sshd: Sshd) -> None:
    becoming = {"ansible_become": True, "ansible_become_user": "nobody", "ansible_remote_tmp": "/tmp"}
    hosts: Hosts = {name: {**variables, **becoming} for name, variables in everyway.items() if name != "local"}
    hosts["itself"] = {**everyway["fabric"], "ansible_become": True, "ansible_become_user": sshd.user}
    hosts["sudo_n"] = {**hosts["fabric"], "muster_transport": "fabric"}
    ways = playbooks.reach(hosts, ["id -un; exit 3"])
    told = {name: (way["replies"][0]["stdout"], way["replies"][0]["transport"]) for name, way in ways.items()}
    assert told == {
        "fabric": ("nobody\n", "ansible (ssh)"),
        "ansible_ssh": ("nobody\n", "ansible (ssh)"),
        "ansible_local": ("nobody\n", "ansible (local)"),
        "itself": (f"{sshd.user}\n", "fabric"),
        "sudo_n": ("nobody\n", "fabric"),
    }
    assert all(way["replies"][0]["rc"] == 3 for way in ways.values())
    assert ways["fabric"]["target"]["become_user"] == "nobody"
    assert "become_user" not in ways["itself"]["target"]
    one = {"n1": everyway["fabric"]}
    keywords = {"become": True, "become_user": "nobody"}
    for where in ("play", "task"):
        assert playbooks.reach(one, ["id -un"], **{where: keywords})["n1"]["replies"][0]["stdout"] == "nobody\n"
    arguments = ("--become", "--become-user", "nobody")
    assert playbooks.reach(one, ["id -un"], arguments=arguments)["n1"]["replies"][0]["stdout"] == "nobody\n"


def test_variables_of_the_play_count_and_those_of_the_task_do_not(playbooks: Any, plain: dict[str, Any]) -> None:
    ways = playbooks.reach(
        {"n1": plain},
        play={"vars": {"muster_state_dir": "/srv/{{ inventory_hostname }}"}, "connection": "local"},
        task={"vars": {"ansible_connection": "local", "muster_state_dir": "/no"}, "delegate_to": "localhost"},
        arguments=("-e", "ansible_ssh_timeout=7"),
    )
    assert ways["n1"]["replies"][0]["transport"] == "fabric"
    assert ways["n1"]["state_dir"] == "/srv/n1"
    assert ways["n1"]["target"]["state_dir"] == "/srv/n1"
    assert ways["n1"]["target"]["connect_timeout_s"] == 7


def test_the_command_line_counts(playbooks: Any, plain: dict[str, Any], sshd: Sshd) -> None:
    bare = {key: plain[key] for key in ("ansible_host", "ansible_port")}
    arguments = (
        *("--user", sshd.user, "--private-key", str(sshd.key), "--timeout", "20"),
        f"--ssh-common-args=-F none -o UserKnownHostsFile={sshd.known_hosts}",
    )
    ways = playbooks.reach({"n1": bare, "n2": {**bare, "muster_transport": "ansible"}}, arguments=arguments)
    assert [way["replies"][0]["stdout"] for way in ways.values()] == ["here\n"] * 2
    assert ways["n1"]["target"]["key_files"] == [str(sshd.key)]
    assert ways["n1"]["target"]["connect_timeout_s"] == 20
    assert (
        playbooks.reach({"n1": bare}, arguments=("--connection", "local"))["n1"]["replies"][0]["transport"] == "local"
    )


def test_the_interpreter_is_the_one_named_or_a_sensible_one(playbooks: Any) -> None:
    local = {"ansible_connection": "local"}
    ways = playbooks.reach(
        {
            "named": {**local, "ansible_python_interpreter": "/opt/python3"},
            "found": {**local, "ansible_python_interpreter": "auto_silent"},
            "far": {"ansible_host": "127.0.0.1", "ansible_port": 1},
        }
    )
    assert ways["named"]["python"] == "/opt/python3"
    assert os.access(ways["found"]["python"], os.X_OK)
    assert ways["far"]["python"] == "python3"


def test_an_address_is_an_ip_or_an_error_that_says_what_to_set(playbooks: Any, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host alias\n  HostName 127.0.0.9\n  Port 1\n")
    closed = {"ansible_port": 1}
    ways = playbooks.reach(
        {
            "given": {**closed, "ansible_host": "127.0.0.1", "muster_address": "10.1.2.3"},
            "host": {**closed, "ansible_host": "127.0.0.7"},
            "localhost": closed,
            "here": {"ansible_connection": "local"},
            "aliased": {"ansible_host": "alias", "ansible_ssh_common_args": f"-F {config}"},
            "nowhere.invalid": closed,
        }
    )
    lost = ways.pop("nowhere.invalid")["address"]
    assert {name: way["address"] for name, way in ways.items()} == {
        "given": "10.1.2.3",
        "host": "127.0.0.7",
        "localhost": "127.0.0.1",
        "here": "127.0.0.1",
        "aliased": "127.0.0.9",
    }
    assert "the address of nowhere.invalid is unknown" in lost and "muster_address" in lost


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"muster_state_dir": "muster"}, "muster_state_dir of n1 is 'muster', which is not an absolute path"),
        ({"muster_transport": "telnet"}, "muster_transport of n1 is 'telnet' (it is one of auto, fabric, ansible)"),
        ({"muster_transport": "fabric", "ansible_connection": "local"}, "n1 is not reached by plain ssh"),
        ({"ansible_connection": "pigeon"}, "pigeon"),
        ({"ansible_host": "{{ undefined_one }}"}, "'undefined_one' is undefined"),
    ],
)
def test_a_variable_that_is_wrong_fails_the_task_with_a_sentence(
    playbooks: Any, variables: dict[str, Any], sentence: str
) -> None:
    assert playbooks.reach({"n1": variables}) == {}
    assert sentence in playbooks.output
    assert "Traceback" not in playbooks.output


def test_a_host_that_is_not_in_the_inventory_is_named(playbooks: Any) -> None:
    assert playbooks.reach({"n1": {"ansible_connection": "local"}}, only=["n1", "n9"]) == {}
    assert "n9 is not in the inventory" in playbooks.output
