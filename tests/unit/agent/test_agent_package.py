# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one file: made the same way everywhere, and run by every Python that a node may have."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from muster.agent import package

from tests.unit.agent.node import Node


def _pythons(minors: Sequence[tuple[int, int]]) -> list[str]:
    """The interpreters of these versions that are on the PATH or that pyenv has."""
    found = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for major, minor in minors:
        name = f"python{major}.{minor}"
        places = [shutil.which(name), *sorted(map(str, pyenv.glob(f"{major}.{minor}.*/bin/{name}")))]
        for place in filter(None, places):
            said = subprocess.run([place, "--version"], capture_output=True, text=True, check=False)
            if said.returncode == 0 and f"Python {major}.{minor}." in said.stdout + said.stderr:
                found[name] = place
    return list(found.values())


SUPPORTED = _pythons([(3, minor) for minor in range(9, 15)])
TOO_OLD = _pythons([(2, 7), *((3, minor) for minor in range(4, 9))])


def _in_another_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout


def test_the_file_is_the_same_byte_for_byte_wherever_it_is_made() -> None:
    # Modules that are loaded already change what Python shares between constants: they must not change the file.
    code = "import hashlib; from muster.agent import package; print(hashlib.sha256(package.build()).hexdigest())"
    assert _in_another_process(code) == _in_another_process("import asyncio, json, typing; " + code)


def test_the_version_is_the_collections_and_a_digest() -> None:
    base, digest = package.version().split("+")
    galaxy = (Path(__file__).parents[3] / "galaxy.yml").read_text().splitlines()
    assert f"version: {base}" in [line.strip() for line in galaxy]
    assert len(digest) == 8


def test_the_file_holds_the_agent_and_pynvml_and_not_its_own_maker() -> None:
    with zipfile.ZipFile(BytesIO(package.build())) as archive:
        names = set(archive.namelist())
        times = {entry.date_time for entry in archive.infolist()}
    assert {"__main__.py", "pynvml.py", "VERSION", "muster_agent/supervisor.py"} <= names
    assert not any("package" in name for name in names)
    assert times == {(1980, 1, 1, 0, 0, 0)}


def test_without_pynvml_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setitem(sys.modules, "pynvml", None)
    package._files.cache_clear()
    try:
        with pytest.raises(package.AgentBuildError) as caught:
            package.version()
        assert "nvidia-ml-py" in caught.value.hint
    finally:
        package._files.cache_clear()


@pytest.mark.parametrize("interpreter", SUPPORTED, ids=lambda path: Path(path).name)
def test_every_python_that_a_node_may_have_runs_a_job(node: Node, interpreter: str) -> None:
    node.interpreter = (interpreter, "-I", "-S")
    assert node.call("inventory").payload["node"]["nvml"]["status"] in ("absent", "ok")
    health = node.call("health", "--source", "live").payload["health"]
    assert [check for check in health["checks"] if check["status"] == "UNKNOWN"] == []
    spec = node.spec(["sleep", "600"], ["sh", "-c", "echo bye; exit 3"], slots=[0])
    assert node.start(spec).exit_code == 0
    status = node.ended(spec)
    assert status["failure"]["reason"] == "exit code 3", (node.directory(spec) / "supervisor.log").read_text()
    assert status["failure"]["tail"] == ["bye"]
    assert node.stop(spec).exit_code == 0
    assert node.text("logs", "--job", spec["job"], "--rank", 1, "--raw") == "bye\n"


@pytest.mark.parametrize("interpreter", TOO_OLD, ids=lambda path: Path(path).name)
def test_a_python_that_is_too_old_is_told_in_one_sentence(node: Node, interpreter: str) -> None:
    done = subprocess.run([interpreter, str(node.agent_file), "version"], capture_output=True, check=False)
    answer = json.loads(done.stdout)
    assert done.returncode == 70
    assert answer["error"]["code"] == "python_too_old"
    assert "it needs 3.9 or newer" in answer["error"]["message"]


def test_the_file_runs_as_a_program_of_its_own(node: Node) -> None:
    node.agent_file.chmod(0o755)
    node.interpreter = ()
    assert node.call("version").payload["agent"] == package.version()


def test_the_agent_can_be_replaced_while_it_supervises(node: Node) -> None:
    spec = node.spec(["sleep", "600"], ["sleep", "600"])
    node.start(spec)
    node.agent_file.write_bytes(b"not even a zip file")
    os.kill(_rank_pid(node, spec), 9)
    record = node.directory(spec) / "status.json"
    node.agent_file.unlink()
    node.agent_file.write_bytes(package.build())
    assert node.ended(spec)["failure"]["reason"] == "killed by SIGKILL", record.read_text()


def _rank_pid(node: Node, spec: dict[str, object]) -> int:
    return int(json.loads((node.directory(spec) / "status.json").read_text())["ranks"][0]["pid"])
