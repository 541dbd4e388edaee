# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself: its nodes are what they claim to be, and can be reached as a fleet's nodes are."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import paramiko
import pytest

from tests.lab import Lab, LabError
from tests.lab.pytorch import PYTHON

ROOT = Path(__file__).resolve().parents[3]


def test_every_node_is_reached_over_ssh_by_its_name(lab: Lab) -> None:
    for node in lab.nodes:
        assert lab.ssh(node, "hostname", "&&", "whoami", user="ops").stdout == f"{node}\nops\n"


def test_systemd_runs_in_every_node_without_a_failed_unit(lab: Lab) -> None:
    for node in lab.nodes:
        assert lab.execute(node, "systemctl", "is-system-running", "--wait").stdout == "running\n"


def test_the_network_of_the_lab_has_no_way_out(lab: Lab) -> None:
    routes = json.loads(lab.run(["ip", "-json", "route"]).stdout)
    assert [route["dst"] for route in routes] == ["10.77.0.0/16"]
    links = {link["ifname"] for link in json.loads(lab.run(["ip", "-json", "link"]).stdout)}
    assert links == {"lo", "br0", *(f"v-{node}" for node in lab.nodes)}


def test_a_thread_that_enters_the_lab_reaches_its_nodes_and_comes_back(lab: Lab) -> None:
    outside = sorted(name for _, name in socket.if_nameindex())
    with lab.enter(), socket.create_connection((lab["n001"].address, 22), timeout=5) as connection:
        assert connection.recv(4) == b"SSH-"
    assert sorted(name for _, name in socket.if_nameindex()) == outside


def test_known_hosts_is_exact_for_paramiko_too_by_name_and_by_address(lab: Lab) -> None:
    keys = paramiko.HostKeys(str(lab.directory / "known_hosts"))
    with lab.enter(), paramiko.SSHClient() as client:
        client.load_host_keys(str(lab.directory / "known_hosts"))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(lab["n001"].address, username="ops", key_filename=str(lab.key), look_for_keys=False)
        assert client.exec_command("hostname")[1].read() == b"n001\n"
        transport = client.get_transport()
        assert transport and keys.check("n001", transport.get_remote_server_key())


@pytest.mark.parametrize("user", ["root", "ops"])
def test_the_inventory_that_it_writes_is_all_that_ansible_needs(lab: Lab, user: str) -> None:
    inventory = lab.inventory(user=user, nodes=["n001", "n002"], slots=[2, None], muster_state_dir="/srv/muster")
    variables = json.loads(lab.run(["ansible-inventory", "-i", inventory, "--list"]).stdout)["_meta"]["hostvars"]
    assert variables["n001"]["muster_slots"] == 2
    assert "muster_slots" not in variables["n002"]
    assert variables["n002"]["muster_state_dir"] == "/srv/muster"
    done = lab.run(["ansible", "-i", inventory, "all", "-m", "ansible.builtin.command", "-a", "whoami"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("root") == 2


@pytest.mark.parametrize("login", [[], ["-e", "ansible_user=ops", "-e", "ansible_become=true"]], ids=["root", "sudo"])
def test_the_inventory_for_people_reaches_the_lab_in_which_it_is_run(lab: Lab, login: list[str]) -> None:
    command = ["ansible", "-i", "inventories/lab", "all", "-m", "ansible.builtin.command", "-a", "whoami", *login]
    done = lab.run(command, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines().count("root") == len(lab.nodes)


def test_limits_of_a_unit_are_kept(lab: Lab) -> None:
    """MemoryMax= is silently ignored where systemd may not write its cgroups: the reason for /lab/init."""
    eat = "b = bytearray(200 << 20)"
    limited = ("systemd-run", "--quiet", "--wait", "--property=MemoryMax=64M", "--property=MemorySwapMax=0")
    assert lab.execute("n001", *limited, "python3", "-c", eat).returncode != 0
    assert lab.execute("n001", "systemd-run", "--quiet", "--wait", "python3", "-c", eat).returncode == 0


def test_a_renewed_node_has_forgotten_what_was_written_to_it_but_not_who_it_is(lab: Lab) -> None:
    lab.execute("n004", "touch", "/var/lib/mine")
    assert (lab["n004"].root / "var/lib/mine").exists()
    lab.renew("n004")
    assert not (lab["n004"].root / "var/lib/mine").exists()
    assert lab.ssh("n004", "hostname").stdout == "n004\n"


def test_asking_for_a_node_that_is_not_there_says_which_are(lab: Lab) -> None:
    with pytest.raises(LabError, match="has no node n9; it has n001, n002, n003, n004"):
        lab.fault("cut", "n9")


def test_fake_gpus_of_a_node_are_found_without_any_setting_there(lab: Lab) -> None:
    """By the name that nvidia-ml-py loads; pynvml itself is not on the nodes, the agent carries it."""
    count = (
        "import ctypes; nvml = ctypes.CDLL('libnvidia-ml.so.1'); n = ctypes.c_uint(); nvml.nvmlInit_v2();"
        " nvml.nvmlDeviceGetCount_v2(ctypes.byref(n)); print(n.value)"
    )
    nvml = lab.give_gpus("n004", 2, model="NVIDIA L4")
    assert len(set(nvml.uuids + lab.give_gpus("n003", 2).uuids)) == 4
    lab.take_gpus("n003")
    assert lab.execute("n004", "python3", "-c", count, user="ops").stdout == "2\n"
    nvml.set("present", 0, gpu=0)
    assert lab.execute("n004", "python3", "-c", count).stdout == "1\n"
    lab.take_gpus("n004")
    assert "cannot open shared object file" in lab.execute("n004", "python3", "-c", count).stderr


def test_torch_runs_on_the_nodes_as_an_ordinary_user(torch_lab: Lab) -> None:
    done = torch_lab.execute("n001", PYTHON, "-c", "import torch; print(torch.ones(3).sum().item())", user="ops")
    assert done.stdout == "3.0\n", done.stderr
    launched = torch_lab.ssh("n002", "/opt/torch/bin/torchrun", "--help", user="ops")
    assert launched.returncode == 0, launched.stderr
