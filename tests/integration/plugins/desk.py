# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible as a user runs it, with a configuration and a store of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from muster.cluster import Cluster, open_cluster
from muster.model import NodeFacts

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = Path(sys.executable).parent
TIMEOUT_S = 120

HOSTS = """
all:
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  hosts:
    n1:
    n2:
    away: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
    web:
"""
"""Nodes n1, n2 and away, which cannot be reached, and web, which is no node."""


@dataclass(frozen=True)
class Run:
    """What a command left: its exit code and all that it printed."""

    rc: int
    out: str


class Desk:
    """A directory from which Ansible is run, with ``ansible.cfg``, ``hosts.yml`` and, in ``state``, a store."""

    def __init__(self, directory: Path, home: Path | None = None) -> None:
        self.directory = directory
        self.store = directory / "state"
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MUSTER_", "XDG_"))
        }
        self.environment |= {
            "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home or directory / "home"),
            "MUSTER_STORE": str(self.store),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "1000",
        }
        self.configure()
        (directory / "hosts.yml").write_text(HOSTS)

    def configure(self, **muster: str) -> None:
        """Write ``ansible.cfg`` with these options in its section [muster]."""
        lines = ["[defaults]", f"collections_path = {ROOT}/collections", "inventory = hosts.yml"]
        lines += ["callbacks_enabled = muster.training.cluster_state", "[muster]"]
        lines += [f"{key} = {value}" for key, value in muster.items()]
        (self.directory / "ansible.cfg").write_text("\n".join(lines) + "\n")

    def cluster(self, location: Path | None = None) -> Cluster:
        """The state, as the library sees it."""
        return open_cluster(str(location or self.store), actor="test")

    def add_nodes(self, *names: str, location: Path | None = None) -> None:
        """Nodes with one slot each, whose contacts so far are forgotten."""
        facts = [NodeFacts(name=name, address="127.0.0.1", slots=1) for name in names]
        self.cluster(location).sync_nodes(facts)
        shutil.rmtree((location or self.store) / "liveness")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command of Ansible's, begun."""
        return subprocess.Popen(
            words,
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> Run:
        """A command of Ansible's, to its end."""
        return ended(self.start(*words))

    def playbook(self, name: str, *plays: dict[str, object]) -> str:
        """Write a playbook and give its name. Plays gather no facts unless they say so."""
        content = [{"gather_facts": False, "hosts": "all"} | play for play in plays]
        (self.directory / name).write_text(yaml.safe_dump(content, sort_keys=False))
        return name

    def content(self) -> dict[str, bytes]:
        """Every file of the store, byte for byte."""
        return {str(path): path.read_bytes() for path in sorted(self.store.rglob("*")) if path.is_file()}

    def forget(self, module: str) -> None:
        """From now on, Ansible runs as if this Python module were not installed."""
        hidden = self.directory / "hidden"
        hidden.mkdir(exist_ok=True)
        (hidden / f"{module}.py").write_text(f"raise ModuleNotFoundError('there is no {module}', name='{module}')\n")
        self.environment["PYTHONPATH"] = str(hidden)


def ended(process: subprocess.Popen[str]) -> Run:
    """The end of a command that was begun."""
    try:
        out, _err = process.communicate(timeout=TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.kill()
    return Run(process.returncode, out)


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {TIMEOUT_S} s"
        time.sleep(0.02)
