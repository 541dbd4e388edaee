# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the cluster's variables may say of a node's health, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from muster.agent.errors import BAD_SPEC, AgentError
from muster.agent.health.catalogue import BY_NAME
from muster.agent.health.model import Pace, Policy
from muster.agent.health.result import CRITICAL
from muster.agent.health.settings import Settings, Torch, load, parse, policy
from muster.agent.layout import Layout

ALL = {
    "node": "n1",
    "interval_s": 60,
    "hurry_s": 2,
    "calm_s": 240,
    "stuck_s": 600,
    "expect": {
        "gpus": 8,
        "driver": "570.124.06",
        "vbios": None,
        "persistence": True,
        "ecc_mode": True,
        "mig": False,
        "nvlinks": 18,
        "pcie_width": 16,
    },
    "disks": ["/", "/data"],
    "targets": ["10.0.0.1:22", "[fe80::1]:22", "gateway.example:80"],
    "links": {"mlx5_0": 200, "eth0": None},
    "services": ["ssh.service"],
    "torch": {"python": "/opt/venv/bin/python", "user": "muster", "devices": 8},
    "own_checks": "/etc/muster/checks.d",
    "kernel_log": "/dev/kmsg",
    "xid": {"critical": [31], "warning": [63], "ignored": [43]},
    "checks": {"disk.free": {"warning": 20, "critical": None, "vital": False}, "own.smart": {"weight": 3}},
    "prometheus": "/var/lib/node_exporter",
    "alert_command": ["/usr/local/bin/tell", "--all"],
    "alert_url": "https://alerts.example/hook",
}


def test_everything_may_be_said() -> None:
    found = parse(ALL, BY_NAME, "/var/lib/muster")
    assert found.pace == Pace(60, 2, 240, 600)
    assert (found.expect.gpus, found.expect.nvlinks) == (8, 18)
    assert found.expect.modes() == {"persistence": True, "ecc_mode": True, "mig": False}
    assert found.torch == Torch("/opt/venv/bin/python", "muster", 8)
    assert found.xid[CRITICAL] == {31}
    assert set(ALL) - {"interval_s", "hurry_s", "calm_s", "stuck_s"} <= set(Settings._fields)


def test_nothing_need_be_said() -> None:
    found = parse({}, BY_NAME, "/var/lib/muster")
    assert found == Settings(state_dir="/var/lib/muster", disks=("/", "/var/lib/muster"))
    assert parse({"disks": ["/data"]}, BY_NAME, "/var/lib/muster").disks == ("/data", "/var/lib/muster")


def test_a_check_counts_as_it_usually_does_but_for_what_is_said() -> None:
    usual = BY_NAME["disk.free"].policy
    assert policy(parse(ALL, BY_NAME), "disk.free", usual) == usual._replace(vital=False)
    assert policy(parse(ALL, BY_NAME), "own.smart", Policy()) == Policy(weight=3)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], "it must be an object, not []"),
        ({"nodes": 1}, "nodes: there is no such key (there are node, "),
        ({"interval_s": "30"}, "interval_s must be a number, not '30'"),
        ({"interval_s": 0}, "interval_s must be 1 second or more, not 0"),
        ({"interval_s": 5, "hurry_s": 9}, "hurry_s (9) must not be more than interval_s (5)"),
        ({"expect": {"gpus": -1}}, "expect.gpus must be a whole number, 0 or more, not -1"),
        ({"expect": {"gpus": True}}, "expect.gpus must be a whole number, 0 or more, not True"),
        ({"expect": {"cpus": 1}}, "expect.cpus: there is no such key"),
        ({"expect": 8}, "expect must be an object, not 8"),
        ({"disks": "/"}, "disks must be a list, not '/'"),
        ({"disks": ["data"]}, "disks must be an absolute path, not ['data']"),
        ({"targets": ["10.0.0.1"]}, "targets must be HOST:PORT, not ['10.0.0.1']"),
        ({"targets": ["10.0.0.1:99999"]}, "targets must be HOST:PORT"),
        ({"links": {"eth0": "fast"}}, "links.eth0 must be a number, not 'fast'"),
        ({"torch": {}}, "torch must be an object with python, not {}"),
        ({"torch": {"python": "python3"}}, "torch.python must be an absolute path, not 'python3'"),
        ({"checks": {"disk.fre": {}}}, "checks.disk.fre: there is no such check (there are disk.free, "),
        ({"checks": {"disk.free": {"warn": 1}}}, "checks.disk.free.warn: there is no such key"),
        ({"checks": {"disk.free": {"warning": "10 GB"}}}, "checks.disk.free.warning must be a number, not '10 GB'"),
        ({"checks": {"disk.free": {"fail_after": 0}}}, "checks.disk.free.fail_after must be a whole number, 1 or more"),
        ({"checks": {"disk.free": {"enabled": "no"}}}, "checks.disk.free.enabled must be true or false, not 'no'"),
        ({"checks": {"gpu.power": {"warning": 1}}}, "checks.gpu.power.warning: this check has no thresholds"),
        ({"checks": {"own.x": {"critical": 1}}}, "checks.own.x.critical: this check has no thresholds"),
        (
            {"checks": {"disk.free": {"warning": 1, "critical": 100}}},
            "checks.disk.free: warning (1) must not be less than critical (100)",
        ),
        ({"checks": {"proc.zombie": {"warning": 5000}}}, "warning (5000) must not be more than critical (2000)"),
        ({"xid": {"fatal": [79]}}, "xid.fatal: there is no such key (there are critical, warning, ignored)"),
        ({"alert_url": "ftp://x"}, "alert_url must be an http or https URL, not 'ftp://x'"),
        ({"alert_command": "tell"}, "alert_command must be a list, not 'tell'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(document: Any, fault: str) -> None:
    with pytest.raises(AgentError) as caught:
        parse(document, BY_NAME)
    assert fault in caught.value.message
    assert caught.value.exit_code == BAD_SPEC


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(AgentError) as caught:
        parse({"interval_s": 0, "disks": 1, "expect": {"gpus": "x", "mig": 1}}, BY_NAME)
    assert caught.value.message.count("must be") == 4


def test_they_are_read_from_the_nodes_file(tmp_path: Path) -> None:
    assert load(Layout(str(tmp_path)), BY_NAME).node is None
    (tmp_path / "agent.json").write_text(json.dumps(ALL))
    assert load(Layout(str(tmp_path)), BY_NAME).node == "n1"
    (tmp_path / "agent.json").write_text("{")
    with pytest.raises(AgentError, match=r"agent\.json is not JSON"):
        load(Layout(str(tmp_path)), BY_NAME)
    assert Layout("/var/lib/muster").settings == "/etc/muster/agent.json"
