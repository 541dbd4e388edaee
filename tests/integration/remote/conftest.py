# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real ansible-playbook run, in which one task reaches all hosts by itself."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.needs import need
from tests.unit.remote import sshd as server

ROOT = Path(__file__).resolve().parents[3]
Ways = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.Sshd]:
    """A server for the whole session."""
    need(server.missing())
    with server.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="session")
def ansible_playbook() -> str:
    """The command, of the environment that the tests run in if it has it."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if beside.exists() else shutil.which("ansible-playbook")
    need(None if found else "there is no ansible-playbook here")
    return str(found)


class Playbooks:
    """Runs plays of one task, `ways`, and gives what it wrote down."""

    def __init__(self, command: str, directory: Path) -> None:
        self._command = command
        self._directory = directory
        self.output = ""

    def reach(
        self,
        hosts: dict[str, dict[str, Any]],
        commands: list[str] | None = None,
        *,
        play: dict[str, Any] | None = None,
        task: dict[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        **args: Any,
    ) -> Ways:
        """What each host answered to `commands`. A play that fails gives nothing: see `output`."""
        result = self._directory / "result.json"
        result.unlink(missing_ok=True)
        inventory = self._directory / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
        given = {"commands": commands or ["echo here"], "to": str(result), **args}
        configuration = self._directory / "ansible.cfg"
        configuration.touch()
        playbook = self._directory / "play.json"
        one = {"ways": given, "run_once": True, **(task or {})}
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [one], **(play or {})}]))
        done = subprocess.run(
            [self._command, "-i", str(inventory), str(playbook), *arguments],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            cwd=self._directory,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(configuration),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_ACTION_PLUGINS": str(Path(__file__).with_name("action_plugins")),
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "PATH": f"{Path(self._command).parent}:{os.environ['PATH']}",
                **(environment or {}),
            },
        )
        self.output = " ".join((done.stdout + done.stderr).split())
        ways: Ways = json.loads(result.read_text()) if result.exists() else {}
        assert ways or done.returncode != 0, self.output
        return ways


@pytest.fixture
def playbooks(ansible_playbook: str, tmp_path: Path) -> Playbooks:
    """Plays that reach hosts."""
    return Playbooks(ansible_playbook, tmp_path)


@pytest.fixture(scope="session")
def plain(sshd: server.Sshd) -> dict[str, Any]:
    """The variables of a host that is reached by plain ssh."""
    return {
        "ansible_host": sshd.address,
        "ansible_port": str(sshd.port),
        "ansible_user": "{{ who }}",
        "who": sshd.user,
        "ansible_ssh_private_key_file": str(sshd.key),
        "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={sshd.known_hosts}",
    }
