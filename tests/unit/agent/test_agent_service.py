# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The monitor as a service: how it is set up, started and told what to do, and whom it tells."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from tests.needs import needs
from tests.unit.agent.monitor import QUICK, STOPS_WITHIN_S, Monitor
from tests.unit.agent.node import Node, alive, until

Document = dict[str, Any]


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
    started.configure(checks={**QUICK["checks"], "disk.free": {"warning": 10**9, "critical": 10**9, "fail_after": 1}})
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


@needs(os.geteuid() == 0, "it is about what root runs")
def test_root_obeys_no_settings_and_runs_no_command_that_others_may_write(monitor: Monitor, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\n")
    pager.chmod(0o777)
    monitor.configure(alert_command=[str(pager)])
    monitor.start()
    monitor.becomes("healthy")
    monitor.nvml.set("ecc.uncorrected.volatile", 2, gpu=0)
    refused = "the alert command cannot be run: others than root may write to it"
    until(lambda: refused in monitor.log.read_text(), "it says so")
    settings = monitor.node.state_dir / "agent.json"
    settings.chmod(0o666)
    monitor.look_now()
    sentence = f"others than root may write to {settings}, which says what root is to run"
    until(lambda: f"{sentence}: the old ones stay in force" in monitor.log.read_text(), "it says so")
    monitor.stop()
    assert sentence in monitor.node.call("daemon").error["message"]
    asked = json.dumps({"settings": json.loads(settings.read_text())}).encode()
    mended = monitor.node.call("monitor", "--action", "apply", stdin=asked)
    assert mended.exit_code == 0, mended
    assert settings.stat().st_mode & 0o777 == 0o644
    assert monitor.node.call("monitor", "--action", "stop").exit_code == 0


def test_one_that_hangs_is_stopped_all_the_same(started: Monitor) -> None:
    assert started.process
    started.process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:  # who has started it has to take note of its end
        pool.submit(started.process.wait, 60)
        assert started.node.call("monitor", "--action", "stop").payload["monitor"]["pid"] is None


def test_own_checks_are_made_by_the_exit_codes_of_nagios(monitor: Monitor, tmp_path: Path) -> None:
    directory = tmp_path / "checks.d"
    directory.mkdir()
    for name, code in (("good", 0), ("bad", 2), ("odd", 9)):
        (directory / name).write_text(f"#!/bin/sh\necho '{name} says this|a=1'\nexit {code}\n")
        (directory / name).chmod(0o755)
    (directory / "forgotten").write_text("#!/bin/sh\n")
    (directory / "notes.txt").write_text("not a check")
    monitor.configure(own_checks=str(directory))
    found = monitor.node.call("health", "--source", "live").payload["health"]
    rows = {row["check"]: (row["status"], row["reason"]) for row in found["checks"] if row["check"].startswith("own.")}
    assert rows == {
        "own.good": ("OK", "good says this"),
        "own.bad": ("CRITICAL", "bad says this"),
        "own.odd": ("UNKNOWN", "odd says this"),
        "own.forgotten": ("UNKNOWN", "the check forgotten was not made: it is not executable"),
    }
    assert found["state"] == "degraded"


def test_systemd_is_told_when_it_is_ready_and_that_it_lives(monitor: Monitor, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        monitor.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000")
        said = []
        while said.count("WATCHDOG=1") < 3 or "READY=1" not in said:
            said += systemd.recv(4096).decode().splitlines()
        assert said.index("STATUS=healthy (100)") < said.index("READY=1"), "who waits for it finds a report"
        monitor.stop()
        while "STOPPING=1" not in said:
            said += systemd.recv(4096).decode().splitlines()


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
