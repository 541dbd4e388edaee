# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The monitor of a node for tests, as a process of the test."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

from tests.fakenvml import FakeNvml
from tests.unit.agent.node import Node, until

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
