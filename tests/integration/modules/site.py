# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks of a few tasks, and what each task returned."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.plugins.desk import ROOT, Desk, ended

HERE = Path(__file__).resolve().parent
HOSTS = f"""
all:
  vars:
    ansible_python_interpreter: {sys.executable}
  hosts:
    localhost: {{ansible_connection: local}}
    elsewhere: {{ansible_connection: elsewhere}}
    away: {{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}}
"""
"""The control node, a host that is none but answers, and one that does not answer."""

Task = dict[str, Any]


@dataclass(frozen=True)
class Played:
    """What a playbook left: its exit code, all that it printed, and the result of each task in order."""

    rc: int
    out: str
    results: list[dict[str, Any]]

    def __getitem__(self, task: str) -> dict[str, Any]:
        return next(result for result in self.results if result["task"] == task)

    def changed(self) -> list[bool]:
        return [bool(result.get("changed")) for result in self.results]


class Site(Desk):
    """A directory from which playbooks are run on localhost, without the callback that keeps the state."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        (directory / "hosts.yml").write_text(HOSTS)
        self.results = directory / "results.jsonl"
        self.environment["RESULTS"] = str(self.results)

    def configure(self, **muster: str) -> None:
        super().configure(**muster)
        file = self.directory / "ansible.cfg"
        ours = ["callbacks_enabled = results", "pipelining = true"]
        ours += [f"{kind}_plugins = {HERE}/{kind}_plugins" for kind in ("callback", "connection")]
        file.write_text(file.read_text().replace("callbacks_enabled = muster.training.cluster_state", "\n".join(ours)))

    def play(self, *tasks: Task, words: tuple[str, ...] = (), **play: Any) -> Played:
        """Run these tasks on localhost, or as ``play`` says; ``words`` go to the command line."""
        name = self.playbook("play.yml", {"hosts": "localhost", "tasks": list(tasks)} | play)
        self.results.unlink(missing_ok=True)
        run = ended(self.start("ansible-playbook", name, *words))
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        return Played(run.rc, run.out, [json.loads(line) for line in lines])


def task(module: str, *, name: str | None = None, keywords: dict[str, Any] | None = None, **options: Any) -> Task:
    """A task of a module of ours."""
    return {"name": name or module, f"muster.training.{module}": options} | (keywords or {})


__all__ = ["ROOT", "Played", "Site", "Task", "task"]
