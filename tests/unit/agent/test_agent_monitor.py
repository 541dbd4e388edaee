# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the monitor sees of a node, and that nothing of it holds it up: faults, hangs, kills."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from muster.agent import processes

from tests.fakenvml import FakeNvml
from tests.frozen import Frozen
from tests.unit.agent.monitor import STOPS_WITHIN_S, Monitor
from tests.unit.agent.node import Node, alive, until

Document = dict[str, Any]


def test_it_says_what_the_node_is_worth_and_shows_its_gpus(started: Monitor) -> None:
    found = started.report()
    assert (found["state"], found["score"], found["source"], found["fresh"]) == ("healthy", 100, "daemon", True)
    assert found["daemon"]["pid"] == started.process.pid  # type: ignore[union-attr]
    assert found["node"] == "n1"
    assert found["age_s"] < 60
    assert [gpu["uuid"] for gpu in found["gpus"]] == started.nvml.uuids
    assert started.node.call("health").payload["health"]["source"] == "daemon", "it is fresh, so nobody looks anew"
    assert started.node.call("health", "--source", "live").payload["health"]["source"] == "live"


def test_a_fault_is_confirmed_told_and_ended(started: Monitor) -> None:
    started.nvml.set("temperature", 94, gpu=1)
    found = started.becomes("unhealthy", "gpu.temperature")
    assert found["reason"] == "GPU 1 has 94 degrees and switches off at 95"
    assert "fans" in found["action"]
    assert [(one["check"], one["count"]) for one in found["alerts"]] == [("gpu.temperature", 1)]
    assert found["score"] < 50
    started.nvml.clear("temperature", gpu=1)
    assert started.becomes("healthy")["alerts"] == []
    history = (started.node.state_dir / "health" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["to"] for line in history] == ["CRITICAL", "OK"]
    assert "gpu.temperature CRITICAL: GPU 1 has 94 degrees" in started.log.read_text()


@pytest.mark.parametrize(
    ("key", "value", "check"),
    [
        ("fault", "lost", "gpu.lost"),
        ("fault.nvmlDeviceGetTemperature", "reset", "gpu.lost"),
        ("present", 0, "gpu.count"),
        ("ecc.uncorrected.volatile", 1, "gpu.ecc.uncorrected"),
        ("remap.failure", 1, "gpu.remap.failure"),
        ("sram.threshold_exceeded", 1, "gpu.sram"),
        ("recovery_action", 2, "gpu.recovery_action"),
        ("nvlink.3.state", 0, "gpu.nvlink"),
        ("fabric_state", 1, "gpu.fabric"),
    ],
)
def test_what_the_driver_says_of_a_broken_gpu_is_seen(started: Monitor, key: str, value: object, check: str) -> None:
    started.nvml.set(key, value, gpu=1)
    assert started.becomes("unhealthy", check)["action"]


@pytest.mark.parametrize(
    ("key", "value", "check"),
    [
        ("remap.pending", 1, "gpu.remap.pending"),
        ("pcie_width", 8, "gpu.pcie"),
        ("temperature", 85, "gpu.temperature"),
        ("power", "N/A", "gpu.power"),
        ("fault.nvmlDeviceGetTemperature", "error:777", "gpu.temperature"),
        ("processes", "1:C:1GiB", "gpu.idle"),
    ],
)
def test_what_is_to_be_looked_at_makes_it_degraded(started: Monitor, key: str, value: object, check: str) -> None:
    started.nvml.set(key, value, gpu=1)
    assert started.becomes("degraded", check)["score"] >= 50


def test_an_xid_is_latched_until_an_operator_clears_it(started: Monitor) -> None:
    started.xid(79)
    started.look_now()
    assert started.becomes("unhealthy", "gpu.xid")["reason"].endswith("XID 79: pid=1, name=x, said the driver")
    started.node.call("health", "--clear", "gpu.xid")
    assert started.becomes("healthy")["alerts"] == []


@pytest.mark.parametrize("how", ["hang", "dstate"])
def test_a_driver_that_hangs_stops_neither_the_monitor_nor_its_end(started: Monitor, how: str) -> None:
    started.nvml.set("fault.nvmlDeviceGetTemperature", how, gpu=1)
    found = started.becomes("unhealthy", "gpu.responsive")
    assert "NVML did not answer within 10 s" in found["reason"]
    assert "(GPU 1: nvmlDeviceGetTemperature)" in found["reason"]
    until(lambda: len(workers(started)) == 1, "one at a time asks again")
    started.nvml.clear("fault.nvmlDeviceGetTemperature", gpu=1)
    assert started.becomes("healthy")
    started.nvml.set("fault.nvmlDeviceGetTemperature", how, gpu=1)
    until(lambda: workers(started), "it asks again")
    assert started.stop() < STOPS_WITHIN_S


def workers(monitor: Monitor) -> list[int]:
    """The processes that the monitor has."""
    assert monitor.process
    path = Path(f"/proc/{monitor.process.pid}/task/{monitor.process.pid}/children")
    return [int(pid) for pid in path.read_text().split() if alive(int(pid))]


def test_a_driver_that_no_kill_ends_is_asked_by_one_process_only(started: Monitor, file_system: Frozen) -> None:
    file_system.freeze()
    started.nvml.set("fault.nvmlDeviceGetTemperature", f"write:{file_system.file}", gpu=1)
    found = started.becomes("unhealthy", "gpu.responsive")
    until(lambda: "cannot be killed" in started.report()["reason"], "it says so")
    (stuck,) = until(lambda: len(found := workers(started)) == 1 and found, "it alone is left")
    assert started.stop() < STOPS_WITHIN_S
    assert alive(stuck)
    started.start()
    until(lambda: "an earlier monitor asked" in started.becomes("unhealthy")["reason"], "a new one knows of it")
    until(lambda: workers(started) == [], "and has nobody asked beside it")
    assert found["alerts"]
    started.nvml.clear("fault.nvmlDeviceGetTemperature", gpu=1)
    file_system.thaw()
    until(lambda: not alive(stuck), "it ends")
    started.look_now()
    assert started.becomes("healthy")


def test_killed_and_started_again_it_knows_what_it_knew(started: Monitor) -> None:
    started.nvml.set("ecc.uncorrected.volatile", 1, gpu=1)
    started.becomes("unhealthy", "gpu.ecc.uncorrected")
    started.stop(signal.SIGKILL)
    until(lambda: not workers_left(started.node), "its workers go with it")
    started.nvml.set("fault", "lost", gpu=1)  # so that the counter cannot be read again
    started.start()
    found = started.becomes("unhealthy")
    latched = {row["check"] for row in found["checks"] if row["latched"]}
    assert "gpu.ecc.uncorrected" in latched
    assert [one["check"] for one in found["alerts"]][0] == "gpu.ecc.uncorrected"


def workers_left(node: Node) -> list[int]:
    mark = str(node.agent_file).encode()
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in words and b"daemon" in words and alive(int(entry)):
            found.append(int(entry))
    return found


def test_a_look_now_counts_what_the_monitor_holds_against_the_node(started: Monitor) -> None:
    started.xid(79)
    started.look_now()
    started.becomes("unhealthy", "gpu.xid")

    def live() -> str:
        return str(started.node.call("health", "--source", "live").payload["health"]["state"])

    assert live() == "unhealthy"
    started.node.call("health", "--clear", "gpu.xid")
    started.becomes("healthy")
    assert live() == "healthy", "what was cleared is not read again"
    started.nvml.set("ecc.uncorrected.volatile", 1, gpu=0)
    started.becomes("unhealthy")
    started.stop()
    started.nvml.set("fault", "lost", gpu=0)
    found = started.node.call("health").payload["health"]
    latched = [row["check"] for row in found["checks"] if row["latched"]]
    assert (found["source"], "gpu.ecc.uncorrected" in latched) == ("live", True)


@pytest.fixture
def without_gpus(node: Node, tmp_path: Path) -> Callable[..., Document]:
    def look(**settings: Any) -> Document:
        (node.state_dir / "agent.json").write_text(json.dumps(settings))
        found: Document = node.call("health", "--source", "live").payload["health"]
        return found

    return look


def test_a_node_without_gpus_is_healthy_unless_it_is_to_have_some(without_gpus: Callable[..., Document]) -> None:
    quiet = {"checks": {"os.clock": {"enabled": False}}}
    assert without_gpus(**quiet)["state"] == "healthy"
    found = without_gpus(**quiet, expect={"gpus": 8})
    assert (found["state"], found["checks"][0]["check"]) == ("unhealthy", "gpu.driver")


def test_a_driver_older_than_the_binding_is_asked_for_what_it_knows(node: Node, tmp_path: Path) -> None:
    node.env = FakeNvml(tmp_path / "nvml", gpus=2, old_driver=True).environment()
    found = node.call("health", "--source", "live").payload["health"]
    rows = {row["check"]: row["status"] for row in found["checks"]}
    assert rows["gpu.count"] == "OK"
    assert rows["gpu.temperature"] == "OK"
    assert "UNKNOWN" not in {status for check, status in rows.items() if check.startswith("gpu.")}


def test_no_job_starts_on_a_node_that_its_monitor_calls_unhealthy(started: Monitor) -> None:
    node = started.node
    assert node.start(node.spec(["true"])).exit_code == 0
    started.nvml.set("ecc.uncorrected.volatile", 1, gpu=1)
    started.becomes("unhealthy")
    refused = node.start(node.spec(["true"]))
    assert refused.codes() == [("n1", "node_unhealthy")]
    reason = "the node is unhealthy: GPU 1 has had 1 memory errors that it could not correct"
    assert refused.attempt["problems"][0]["message"] == reason
    assert "health.yml" in refused.error["hint"]
    assert node.start(node.spec(["true"], preflight=False)).exit_code == 0


def test_no_job_starts_where_a_monitor_has_fallen_silent(started: Monitor) -> None:
    node = started.node
    path = node.state_dir / "monitor" / "report.json"
    assert started.process
    started.process.send_signal(signal.SIGSTOP)
    try:
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "boottime_s": document["boottime_s"] - 600}))
        assert node.start(node.spec(["true"])).codes() == [("n1", "node_unknown")]
    finally:
        started.process.send_signal(signal.SIGCONT)


def test_what_the_monitor_itself_tries_on_a_gpu_keeps_no_job_from_starting(started: Monitor) -> None:
    node = started.node
    assert started.process
    daemon = started.process.pid
    (child,) = until(lambda: len(found := processes.descendants([daemon])) == 1 and found, "only NVML's stays")
    started.nvml.set("processes", f"{child.pid}:C:600MiB", gpu=0)
    assert node.start(node.spec(["true"], gpus=started.nvml.uuids)).exit_code == 0
    started.nvml.set("processes", f"{child.pid}:C:600MiB, {os.getpid()}:C:1MiB", gpu=0)
    refused = node.start(node.spec(["true"], gpus=started.nvml.uuids))
    assert refused.codes() == [("n1", "gpu_busy")]
    assert f"process {child.pid}" not in refused.error["message"]
