# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What samplers read of this very machine."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from muster.agent import processes
from muster.agent.health import disks, links, network, system, tasks
from muster.agent.health.catalogue import BY_NAME
from muster.agent.health.settings import parse

from tests.frozen import Frozen
from tests.unit.agent.node import until


def test_a_file_system_is_read_only_if_it_is_so_itself(file_system: Frozen) -> None:
    settings = parse({"disks": ["/", str(file_system.place)]}, BY_NAME)
    assert [one["readonly"] for one in disks.read(settings, print).values()] == [False, False]
    subprocess.run(["mount", "-o", "remount,ro", file_system.place], check=True)
    assert [one["readonly"] for one in disks.read(settings, print).values()] == [False, True]


def test_a_path_that_is_not_there_says_so(tmp_path: Path) -> None:
    settings = parse({"disks": [str(tmp_path / "none")]}, BY_NAME)
    assert disks.read(settings, print) == {str(tmp_path / "none"): {"error": "No such file or directory"}}


def test_an_answer_is_timed_and_a_refusal_is_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = parse({"targets": [f"127.0.0.1:{port}", "127.0.0.1:1", "nowhere.invalid:22"]}, BY_NAME)
        found = network.read(settings, print)["targets"]
    assert [one["failed"] for one in found.values()] == [0, 0, 5]
    assert len(found[f"127.0.0.1:{port}"]["milliseconds"]) == 5
    assert found["nowhere.invalid:22"]["error"]


def test_links_are_read_from_sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")

    put("infiniband/mlx5_0/ports/1/state", "4: ACTIVE")
    put("infiniband/mlx5_0/ports/1/rate", "200 Gb/sec (4X HDR)")
    put("infiniband/mlx5_0/ports/1/counters/link_downed", "2")
    put("infiniband/mlx5_1/ports/1/state", "1: DOWN")
    put("net/eth0/operstate", "up")
    put("net/eth0/speed", "100000")
    put("net/eth0/carrier_down_count", "1")
    put("net/eth1/operstate", "down")
    put("net/br0/operstate", "unknown")
    put("net/br0/carrier", "1")
    monkeypatch.setattr(links, "SYS", str(tmp_path))
    names = ["mlx5_0", "mlx5_1", "eth0", "eth1", "br0", "eth9"]
    found = links.read(parse({"links": dict.fromkeys(names)}, BY_NAME), print)["links"]
    assert found == {
        "mlx5_0": {"up": True, "state": "ACTIVE", "gbps": 200.0, "downs": 2},
        "mlx5_1": {"up": False, "state": "DOWN", "gbps": 0.0, "downs": 0},
        "eth0": {"up": True, "state": "up", "gbps": 100.0, "downs": 1},
        "eth1": {"up": False, "state": "down", "gbps": None, "downs": 0},
        "br0": {"up": True, "state": "unknown", "gbps": None, "downs": 0},
        "eth9": {"error": "No such file or directory"},
    }


def test_what_waits_in_the_kernel_is_found_by_pid_and_start(file_system: Frozen) -> None:
    settings = parse({}, BY_NAME)
    file_system.freeze()
    writer = subprocess.Popen(["sh", "-c", f"exec dd if=/dev/zero of={file_system.file} bs=1 count=1"], stderr=-3)
    try:

        def waiting() -> list[dict[str, object]]:
            found: list[dict[str, object]] = tasks.read(settings, print)["waiting"]
            # Before it is dd it is a shell, which may wait for a moment as well.
            return [one for one in found if (one["pid"], one["name"]) == (writer.pid, "dd")]

        (one,) = until(waiting, "it waits")
        assert one["start_ticks"] == processes.start_ticks(writer.pid)
    finally:
        file_system.thaw()
        writer.wait(30)


def test_memory_and_clock_are_told(tmp_path: Path) -> None:
    found = system.read(parse({"services": ["ssh.service"]}, BY_NAME), print)
    assert found["available_mib"] > 0
    assert found["synchronized"] in (True, False)
    expected = found["services"]["ssh.service"]
    assert (expected is None) == (not os.path.isdir("/run/systemd/system"))
