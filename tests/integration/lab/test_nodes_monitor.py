# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitors on real nodes: systemd runs them, faults of fake GPUs are seen, and nothing that hangs stops them."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

from tests.fakenvml import FakeNvml
from tests.integration.lab.fleet import Fleet
from tests.integration.lab.watching import QUICK, UNIT, become, health, until

STOPS_WITHIN_S = 20.0
"""What systemd gives it is less (TimeoutStopSec), and it says if that was needed; the rest is for this machine."""
EXPOSURE = 4.0

Document = dict[str, Any]


def main_pid(fleet: Fleet, node: str) -> int:
    return int(fleet.shell(node, f"systemctl show --value --property MainPID {UNIT}"))


def test_monitors_are_services_and_the_second_time_nothing_changes(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    again = fleet.play("monitor", on=4, muster_health=QUICK)
    assert again.rc == 0, again.out
    assert set(re.findall(r"changed=(\d+)", again.out)) == {"0"}, again.out
    for node in gpus:
        assert fleet.shell(node, f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}").split() == [
            "active",
            "enabled",
        ]
        assert fleet.shell(node, f"systemd-analyze verify {UNIT} 2>&1") == ""
        assert "healthy (100)" in fleet.shell(node, f"systemctl status {UNIT}")
    exposure = re.search(r"([0-9.]+) \w+", fleet.shell("n001", f"systemd-analyze security {UNIT} | tail -1"))
    assert exposure
    assert float(exposure[1]) <= EXPOSURE
    entered = fleet.play("health", on=4)
    assert entered.rc == 0, entered.out
    assert {(node["health"]["state"], node["health"]["score"]) for node in fleet.nodes().values()} == {("healthy", 100)}
    shown = fleet.run(sys.executable, "-m", "muster.cli", "daemon", "status")
    assert shown.out.count("running") == 4, shown.out
    assert shown.out.count(UNIT) == 4, shown.out


def test_faults_are_seen_entered_and_avoided_and_clear_by_their_rules(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    gpus["n001"].set("ecc.uncorrected.volatile", 2, gpu=1)
    gpus["n002"].set("fault", "lost", gpu=0)
    gpus["n003"].set("temperature", 94, gpu=0)
    gpus["n004"].set("pcie_width", 8, gpu=0)
    found = become(
        fleet,
        {
            "n001": ("unhealthy", "gpu.ecc.uncorrected"),
            "n002": ("unhealthy", "gpu.lost"),
            "n003": ("unhealthy", "gpu.temperature"),
            "n004": ("degraded", "gpu.pcie"),
        },
    )
    assert found["n002"]["reason"] == "GPU 0 has fallen off the bus"
    assert all(one["action"] for one in found.values())
    entered = fleet.play("health", on=4)
    assert entered.rc == 0, entered.out
    assert "gpu.lost: GPU 0 has fallen off the bus" in entered.said
    assert fleet.statuses() == {"n001": "unhealthy", "n002": "unhealthy", "n003": "unhealthy", "n004": "idle"}
    kept = fleet.nodes()["n001"]["health"]
    assert [one["check"] for one in kept["alerts"]] == ["gpu.ecc.uncorrected"], (kept, health(fleet)["n001"])
    placed = fleet.play("launch", on=4, job={"name": "elsewhere", "command": ["true"], "gpus": 1})
    assert placed.rc == 0, placed.out
    assert fleet.job("elsewhere")["attempts"][-1]["plan"]["nodes"][0]["node"] == "n004"
    refused = fleet.play("launch", on=4, job={"name": "wide", "command": ["true"], "nodes": 2})
    assert refused.rc != 0
    assert "n001 (unhealthy)" in refused.said
    for node, key, gpu in (("n001", "ecc.uncorrected.volatile", 1), ("n002", "fault", 0), ("n003", "temperature", 0)):
        gpus[node].clear(key, gpu=gpu)
    gpus["n004"].clear("pcie_width", gpu=0)
    well = ("healthy", "")
    become(fleet, {"n001": well, "n003": well, "n004": well, "n002": ("unhealthy", "gpu.lost")})
    cleared = fleet.run(sys.executable, "-m", "muster.cli", "health", "n002", "--clear", "gpu.lost")
    assert "Traceback" not in cleared.out
    become(fleet, dict.fromkeys(gpus, well))
    assert fleet.play("health", on=4).rc == 0
    assert set(fleet.statuses().values()) == {"idle"}


def test_a_node_refuses_a_job_if_its_monitor_knows_what_the_state_does_not(
    fleet: Fleet, gpus: dict[str, FakeNvml]
) -> None:
    for node in gpus:
        gpus[node].set("remap.failure", 1, gpu=0)
    become(fleet, dict.fromkeys(gpus, ("unhealthy", "gpu.remap.failure")))
    refused = fleet.play("launch", on=4, job={"name": "late", "command": ["true"], "nodes": 2})
    assert refused.rc != 0
    assert "the node is unhealthy: GPU 0 has a faulty row of memory and none left to replace it" in refused.said
    assert "health.yml" in refused.said
    assert fleet.table("leases") == []


def tasks_of(fleet: Fleet, node: str) -> set[str]:
    """The processes of a node's monitor: of those that ask the driver, at most one hangs and one is to be."""
    words = fleet.shell(node, f"systemctl show --value --property ControlGroup {UNIT}").strip()
    places = f"/sys/fs/cgroup{words}/cgroup.procs /sys/fs/cgroup/systemd{words}/cgroup.procs"
    return set(fleet.shell(node, f"cat {places} 2>/dev/null").split())


def test_a_driver_that_hangs_neither_stops_the_monitor_nor_keeps_it(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    for node, how in (("n001", "hang"), ("n002", "dstate")):
        gpus[node].set("fault.nvmlDeviceGetTemperature", how, gpu=1)
    hung = dict.fromkeys(("n001", "n002"), ("unhealthy", "gpu.responsive"))
    become(fleet, hung)
    for node in hung:
        until(lambda node=node: len(tasks_of(fleet, node)) <= 3, lambda node=node: tasks_of(fleet, node))
        begun = time.monotonic()
        fleet.shell(node, f"systemctl stop {UNIT}")
        assert time.monotonic() - begun < STOPS_WITHIN_S
        assert fleet.shell(node, f"systemctl show --value --property Result {UNIT}").strip() == "success"
    stopped = fleet.run(sys.executable, "-m", "muster.cli", "daemon", "status", "n001")
    assert "stopped" in stopped.out


def test_killed_it_is_brought_back_by_systemd_and_knows_what_it_knew(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    gpus["n001"].set("ecc.uncorrected.volatile", 2, gpu=1)
    become(fleet, {"n001": ("unhealthy", "gpu.ecc.uncorrected")})
    before = main_pid(fleet, "n001")
    fleet.shell("n001", f"kill -KILL {before}")
    until(lambda: main_pid(fleet, "n001") not in (0, before), lambda: "it is not brought back")
    report = become(fleet, {"n001": ("unhealthy", "gpu.ecc.uncorrected")})["n001"]
    assert [alert["count"] for alert in report["alerts"]] == [1]
    assert report["checks"][0]["latched"]


def test_after_a_boot_it_runs_and_holds_nothing_against_the_node(fleet: Fleet, gpus: dict[str, FakeNvml]) -> None:
    gpus["n001"].set("ecc.uncorrected.volatile", 2, gpu=1)
    become(fleet, {"n001": ("unhealthy", "gpu.ecc.uncorrected")})
    gpus["n001"].clear("ecc.uncorrected.volatile", gpu=1)
    fleet.lab["n001"].kill()
    fleet.lab.start("n001")
    become(fleet, {"n001": ("healthy", "")})
    history = fleet.shell("n001", "cat /var/lib/muster/health/history.jsonl")
    assert "gpu.ecc.uncorrected" in history, "what was seen is still known"


def test_a_node_that_falls_ill_is_drained_its_job_goes_on_and_no_other_drain_is_lifted(
    fleet: Fleet, gpus: dict[str, FakeNvml]
) -> None:
    well = ("healthy", "")
    become(fleet, dict.fromkeys(gpus, well))
    begun = fleet.play("launch", on=4, job={"name": "long", "command": ["sleep", "600"], "gpus": 1}, muster_wait=False)
    assert begun.rc == 0, begun.out
    job = fleet.job("long")
    ill = job["attempts"][-1]["plan"]["nodes"][0]["node"]
    another, taken, fit = [node for node in gpus if node != ill]
    out = fleet.play("drain", on=4, muster_nodes=[taken], muster_reason="a fan is replaced")
    assert out.rc == 0, out.out
    for node in (ill, another):
        gpus[node].set("temperature", 94, gpu=0)
    become(fleet, dict.fromkeys((ill, another), ("unhealthy", "gpu.temperature")))
    entered = fleet.play("health", on=4)
    assert entered.rc == 0, entered.out
    drained = {name for name, node in fleet.nodes().items() if node["admin"]["reason"].startswith("health: ")}
    assert len(drained & {ill, another}) == len(drained) == 1, "a tenth of the nodes, but one at least"
    assert "too many at once" in entered.said
    assert fleet.job("long")["state"] == "RUNNING"
    assert fleet.processes(job, [ill]), "what runs there goes on"
    placed = fleet.play("launch", on=4, job={"name": "next", "command": ["true"], "gpus": 1})
    assert placed.rc == 0, placed.out
    assert {part["node"] for part in fleet.job("next")["attempts"][-1]["plan"]["nodes"]} == {fit}
    for node in (ill, another):
        gpus[node].clear("temperature", gpu=0)
    become(fleet, dict.fromkeys(gpus, well))
    again = fleet.play("health", on=4)
    assert again.rc == 0, again.out
    states = {name: node["admin"]["state"] for name, node in fleet.nodes().items()}
    assert states == {**dict.fromkeys(gpus, "enabled"), taken: "draining"}
    assert fleet.run(sys.executable, "-m", "muster.cli", "cancel", job["id"]).rc == 0
    assert fleet.remains(job) == []
