# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The monitor as a process: it looks, tells, survives what it looks at, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fakenvml import FakeNvml
from tests.frozen import Frozen
from tests.unit.agent.node import Node, alive, until

Document = dict[str, Any]

QUICK = {"interval_s": 2, "hurry_s": 1, "checks": {"os.clock": {"enabled": False}}}
STOPS_WITHIN_S = 5.0


class Monitor:
    """The monitor of one node with two GPUs, as a process of the test."""

    def __init__(self, node: Node, nvml: FakeNvml) -> None:
        self.node = node
        self.nvml = nvml
        self.kernel_log = node.state_dir / "kmsg"
        self.kernel_log.touch()
        self.log = node.state_dir / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.configure()

    def configure(self, **other: Any) -> None:
        document = {"node": "n1", "expect": {"gpus": 2}, "kernel_log": str(self.kernel_log), **QUICK, **other}
        (self.node.state_dir / "agent.json").write_text(json.dumps(document))

    def start(self, **env: str) -> None:
        with self.log.open("ab") as log:
            command = self.node.command("daemon")
            self.process = subprocess.Popen(command, env={**self.node.env, **env}, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it; return how long it took."""
        assert self.process
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(60)
        return time.monotonic() - begun

    def look_now(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    def report(self) -> Document:
        found: Document = self.node.call("health", "--source", "daemon").payload["health"]
        return found

    def becomes(self, state: str, check: str = "") -> Document:
        """Wait until the report says so, with this check as the worst."""

        def look() -> Document | None:
            found = self.report()
            first = found["checks"][0]["check"] if found.get("checks") else ""
            return found if found["state"] == state and check in ("", first) else None

        found: Document = until(look, f"{state} {check}: {self.report().get('reason')}", 60)
        return found

    def xid(self, code: int) -> None:
        now_us = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6)
        with self.kernel_log.open("a") as log:
            log.write(f"4,{now_us},{now_us},-;NVRM: Xid (PCI:0000:07:00): {code}, pid=1, name=x, said the driver\n")


@pytest.fixture
def monitor(node: Node, tmp_path: Path) -> Iterator[Monitor]:
    nvml = FakeNvml(tmp_path / "nvml", gpus=2)
    node.env = nvml.environment()
    made = Monitor(node, nvml)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def started(monitor: Monitor) -> Monitor:
    monitor.start()
    monitor.becomes("healthy")
    return monitor


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
    assert until(lambda: len(workers(started)), "it asks again") == 1
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
    (stuck,) = workers(started)
    assert started.stop() < STOPS_WITHIN_S
    assert alive(stuck)
    started.start()
    until(lambda: "an earlier monitor asked" in started.becomes("unhealthy")["reason"], "a new one knows of it")
    assert workers(started) == [], "and asks nobody beside it"
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


def test_a_report_that_is_old_is_not_handed_on(started: Monitor) -> None:
    path = started.node.state_dir / "monitor" / "report.json"
    assert started.stop() < STOPS_WITHIN_S
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "boottime_s": document["boottime_s"] - 600}))
    found = started.report()
    assert (found["state"], found["score"], found["daemon"], found["checks"]) == ("unknown", None, None, [])
    assert found["reason"].startswith("the monitor's last report is 6")
    path.write_text(json.dumps({**document, "boottime_s": time.clock_gettime(time.CLOCK_BOOTTIME)}))
    assert started.report()["reason"] == "the monitor does not run"
    path.write_text(json.dumps({**document, "boot_id": "another"}))
    assert started.report()["reason"] == "the monitor's last report is from before the last boot"
    assert started.node.call("health").payload["health"]["source"] == "live"


def test_nobody_has_looked_yet(monitor: Monitor) -> None:
    found = monitor.report()
    assert (found["state"], found["reason"]) == ("unknown", "no monitor has looked at this node yet")
    assert "monitor.yml" in found["action"]


def test_there_is_one_at_a_time(started: Monitor) -> None:
    other = started.node.call("daemon")
    assert started.process
    assert other.error["message"] == f"the monitor already runs (process {started.process.pid})"


def test_settings_that_are_wrong_keep_it_from_starting_and_not_from_going_on(started: Monitor) -> None:
    started.configure(interval_s=0)
    started.look_now()
    until(lambda: "the old ones stay in force" in started.log.read_text(), "it says so")
    assert started.report()["state"] == "healthy"
    started.stop()
    refused = started.node.call("daemon")
    assert "interval_s must be 1 second or more" in refused.error["message"]
    assert refused.exit_code == 65


def test_new_settings_are_taken_up_without_a_restart(started: Monitor) -> None:
    started.configure(checks={**QUICK["checks"], "disk.free": {"critical": 10**9, "fail_after": 1}})
    started.look_now()
    assert started.becomes("unhealthy", "disk.free")
    started.configure()
    started.look_now()
    started.becomes("healthy")


def test_alerts_go_to_a_command_and_to_a_url(monitor: Monitor, tmp_path: Path) -> None:
    heard: list[Document] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    told = tmp_path / "told"
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = ["/bin/sh", "-c", f'printf "%s\\n" "$MUSTER_ALERTS" >> {told}']
        monitor.configure(alert_command=command, alert_url=f"http://127.0.0.1:{server.server_port}/hook")
        monitor.start()
        monitor.becomes("healthy")
        monitor.nvml.set("ecc.uncorrected.volatile", 2, gpu=0)
        until(lambda: heard, "the hook hears of it")
        server.shutdown()
    (alert,) = heard[0]["alerts"]
    assert (heard[0]["node"], alert["check"], alert["status"]) == ("n1", "gpu.ecc.uncorrected", "CRITICAL")
    until(told.exists, "the command hears of it")
    assert json.loads(told.read_text()) == heard[0]


def test_an_alert_that_nobody_takes_is_told_in_the_log(monitor: Monitor) -> None:
    monitor.configure(alert_command=["/nonexistent"], alert_url="http://127.0.0.1:1/hook")
    monitor.start()
    monitor.becomes("healthy")
    monitor.nvml.set("ecc.uncorrected.volatile", 2, gpu=0)
    until(lambda: "the alert URL was not reached" in monitor.log.read_text(), "it says so")
    assert "the alert command cannot be run: No such file or directory" in monitor.log.read_text()
    assert monitor.report()["state"] == "unhealthy"


def test_own_checks_are_made_by_the_exit_codes_of_nagios(monitor: Monitor, tmp_path: Path) -> None:
    directory = tmp_path / "checks.d"
    directory.mkdir()
    for name, code in (("good", 0), ("bad", 2), ("odd", 9)):
        (directory / name).write_text(f"#!/bin/sh\necho '{name} says this|a=1'\nexit {code}\n")
        (directory / name).chmod(0o755)
    (directory / "notes.txt").write_text("not a check")
    monitor.configure(own_checks=str(directory))
    found = monitor.node.call("health", "--source", "live").payload["health"]
    rows = {row["check"]: (row["status"], row["reason"]) for row in found["checks"] if row["check"].startswith("own.")}
    assert rows == {
        "own.good": ("OK", "good says this"),
        "own.bad": ("CRITICAL", "bad says this"),
        "own.odd": ("UNKNOWN", "odd says this"),
        "own.notes.txt": ("UNKNOWN", "the check notes.txt was not made: it is not executable"),
    }
    assert found["state"] == "degraded"


def test_systemd_is_told_when_it_is_ready_and_that_it_lives(monitor: Monitor, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        monitor.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000")
        said = []
        while said.count("WATCHDOG=1") < 3:
            said += systemd.recv(4096).decode().splitlines()
        assert said.index("STATUS=healthy (100)") < said.index("READY=1"), "who waits for it finds a report"
        monitor.stop()
        while "STOPPING=1" not in said:
            said += systemd.recv(4096).decode().splitlines()


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


def test_without_systemd_it_is_a_process_of_its_own(node: Node) -> None:
    def act(action: str) -> Document:
        found: Document = node.call("monitor", "--action", action).payload["monitor"]
        return found

    absent = act("status")
    assert (absent["pid"], absent["uptime_s"], absent["state"], absent["changed"]) == (None, None, None, False)
    assert act("stop")["changed"] is False
    first = act("start")
    try:
        assert first["changed"] is True
        assert (first["unit"], first["enabled"]) == (None, None)
        assert alive(first["pid"])
        assert act("start") | {"uptime_s": 0, "state": 0, "age_s": 0, "interval_s": 0} == first | {
            "uptime_s": 0, "state": 0, "age_s": 0, "interval_s": 0, "changed": False}  # fmt: skip
        second = act("restart")
        assert second["changed"] is True
        assert second["pid"] != first["pid"]
        assert not alive(first["pid"])
        assert second["state"], "it has looked at the node"
    finally:
        ended = act("stop")
    assert (ended["pid"], ended["changed"], alive(second["pid"])) == (None, True, False)
    assert "the monitor ends" in (node.state_dir / "health" / "monitor.log").read_text()


def test_a_monitor_that_does_not_start_says_why(node: Node) -> None:
    (node.state_dir / "agent.json").write_text('{"interval_s": 0}')
    answer = node.call("monitor", "--action", "start")
    assert "interval_s must be 1 second or more" in answer.error["message"]
    assert node.call("monitor", "--action", "halt").error["hint"] == "actions: start, stop, restart, status"


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


def test_a_new_agent_takes_over_from_the_one_that_runs(started: Monitor) -> None:
    started.nvml.set("ecc.uncorrected.volatile", 1, gpu=1)
    started.becomes("unhealthy")
    file = started.node.agent_file
    assert started.process
    before = started.process.pid
    content = file.read_bytes()
    file.with_suffix(".new").write_bytes(content)
    file.with_suffix(".new").replace(file)
    until(lambda: "its new version takes over" in started.log.read_text(), "it sees that")
    until(lambda: "the monitor goes on" in started.log.read_text(), "and begins anew")
    found = started.becomes("unhealthy", "gpu.ecc.uncorrected")
    assert found["daemon"]["pid"] == before == started.process.pid
    assert started.process.poll() is None


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


def test_prometheus_finds_a_file_and_no_link_is_followed(monitor: Monitor, tmp_path: Path) -> None:
    directory = tmp_path / "textfile"
    directory.mkdir()
    (directory / "muster.prom.new").symlink_to(tmp_path / "victim")
    monitor.configure(prometheus=str(directory))
    monitor.start()
    monitor.becomes("healthy")
    assert "muster_node_health_score 100" in (directory / "muster.prom").read_text()
    assert not (tmp_path / "victim").exists()


def test_a_disk_that_is_full_is_no_reason_to_stop_looking(monitor: Monitor) -> None:
    command = monitor.node.command("daemon")
    monitor.process = subprocess.Popen(command, env=monitor.node.env, stderr=os.open("/dev/full", os.O_WRONLY))
    monitor.becomes("healthy")
    monitor.nvml.set("ecc.uncorrected.volatile", 1, gpu=0)
    monitor.becomes("unhealthy")
