# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is built from this tree: the collection works where it is installed, the wheel works without Ansible."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LIBRARY = ROOT / "plugins" / "module_utils"
COLLECTION = Path("ansible_collections", "muster", "training")


def run(*argv: str | Path, cwd: Path, **env: str) -> str:
    """The standard output of a command of this environment; a failure shows all that it wrote."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MUSTER_", "PYTHON"))
    }
    process = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=clean | {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(cwd)} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, f"{argv}\n{process.stdout}\n{process.stderr}"
    return process.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as `ansible-galaxy collection build` packs this checkout, after all the work in it."""
    place = tmp_path_factory.mktemp("build")
    run("ansible-galaxy", "collection", "build", ROOT, "--output-path", place, cwd=place)
    return next(place.glob("muster-training-*.tar.gz"))


@pytest.fixture(scope="module")
def installed(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path into which the collection was installed, with no registry asked."""
    place = tmp_path_factory.mktemp("installed")
    run("ansible-galaxy", "collection", "install", tarball, "-p", place, "--offline", "--no-cache", cwd=place)
    return place


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's wheel, built from a copy: setuptools leaves its work beside its sources."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    shutil.copytree(LIBRARY, source / LIBRARY.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "meta", source / "meta")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(
        sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "-w", place, source, cwd=place
    )
    return next(place.glob("muster_training-*.whl"))


def test_the_tarball_holds_what_a_control_node_needs(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = set(archive.getnames())
    for name in (
        "LICENSE",
        "README.md",
        "examples/allreduce.yml",
        "inventories/local/hosts.yml",
        "meta/execution-environment.yml",
        "meta/runtime.yml",
        "playbooks/launch.yml",
        "plugins/module_utils/agent/__main__.py",
        "plugins/modules/node.py",
        "tests/testinfra/test_node.py",
    ):
        assert name in names


def test_the_tarball_holds_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if member.issym() or member.islnk()]
    tops = {member.name.split("/")[0] for member in members}
    tests = [member.name for member in members if member.name.split("/")[0] == "tests"]
    assert not tops & {"collections", "build", "dist", "Makefile", "ansible.cfg", "pyproject.toml"}
    assert not [top for top in tops if top.startswith(".")]
    # Of the tests, those of a user's nodes, which verify.yml runs.
    assert {"/".join(name.split("/")[:2]) for name in tests} == {"tests", "tests/testinfra"}

    # Nothing that git ignores: no environment, no cache, no state of a demo.
    files = [member.name for member in members if member.isfile()]
    kept = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT, HOME=os.environ["HOME"])
    assert set(files) - set(kept.splitlines()) <= {"MANIFEST.json", "FILES.json"}


@pytest.mark.parametrize("playbook", sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml")))
def test_an_installed_playbook_is_run_by_its_name(installed: Path, tmp_path: Path, playbook: str) -> None:
    inventory = installed / COLLECTION / "inventories" / "local"
    listing = run(
        "ansible-playbook",
        f"muster.training.{playbook}",
        "--list-tasks",
        "--inventory",
        inventory,
        cwd=tmp_path,
        ANSIBLE_COLLECTIONS_PATH=str(installed),
    )
    assert f"{installed / COLLECTION}/playbooks/{playbook}.yml" in listing
    assert "TAGS:" in listing


def test_the_installed_collection_runs_a_job_from_any_directory(installed: Path, tmp_path: Path) -> None:
    collection = installed / COLLECTION
    run(
        "ansible-playbook",
        "muster.training.launch",
        "--inventory",
        collection / "inventories" / "local",
        "--extra-vars",
        f"@{collection / 'examples' / 'allreduce.yml'}",
        cwd=tmp_path,
        ANSIBLE_COLLECTIONS_PATH=str(installed),
        MUSTER_STORE=str(tmp_path / "state"),
    )
    [job] = json.loads(run(BIN / "muster", "jobs", "--json", cwd=tmp_path, MUSTER_STORE=str(tmp_path / "state")))
    assert job["state"] == "SUCCEEDED"


def test_the_installed_collection_verifies_nodes(installed: Path, tmp_path: Path) -> None:
    settings = {
        "interval_s": 2,
        "hurry_s": 1,
        "checks": {"os.clock": {"enabled": False}, "disk.free": {"warning": 0, "critical": 0}},
    }
    for playbook, more in (("monitor", {}), ("verify", {}), ("monitor", {"muster_monitor_state": "absent"})):
        said = run(
            "ansible-playbook",
            f"muster.training.{playbook}",
            "--inventory",
            installed / COLLECTION / "inventories" / "local",
            "--extra-vars",
            json.dumps({"muster_health": settings, **more}),
            cwd=tmp_path,
            ANSIBLE_COLLECTIONS_PATH=str(installed),
            MUSTER_STORE=str(tmp_path / "state"),
            MUSTER_DEMO_DIR=str(tmp_path),
        )
        assert playbook != "verify" or "failed=0" in said


def test_the_wheel_holds_every_module_of_the_library(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix("muster/") for name in archive.namelist() if name.startswith("muster/")}
    assert packed >= {str(path.relative_to(LIBRARY)) for path in LIBRARY.rglob("*.py")}


def test_the_wheel_works_without_ansible(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    # None in sys.modules makes the import of that name fail, as if it were not installed.
    program = """
import importlib, pkgutil, sys
sys.modules["ansible"] = sys.modules["ansible_collections"] = None
import muster
print(muster.__file__)
for module in pkgutil.walk_packages(muster.__path__, "muster."):
    importlib.import_module(module.name)
"""
    output = run(sys.executable, "-c", program, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert output.split() == [str(tmp_path / "muster" / "__init__.py")]


def test_the_collection_and_the_wheel_have_one_version() -> None:
    collection = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert collection["version"] == wheel["project"]["version"]


def imported(file: Path) -> set[str]:
    """The top-level names of the packages that a file imports, itself or inside of its functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_library_imports_nothing_that_it_does_not_ask_for() -> None:
    """What is there by chance in an environment for tests is not where it is installed alone."""
    lines = (ROOT / "meta" / "ee-requirements.txt").read_text().splitlines()
    asked = {re.split(r"[<>=!~;\[ ]", line)[0] for line in lines if line and not line.startswith("#")}
    # Fabric asks for its transport and its tasks, and that for its keys; pynvml is the module of nvidia-ml-py.
    known = {name.replace("-", "_") for name in asked} | {"paramiko", "invoke", "cryptography", "pynvml"}
    strangers = {
        f"{file.relative_to(LIBRARY)}: {name}"
        for file in LIBRARY.rglob("*.py")
        for name in imported(file) - known - set(sys.stdlib_module_names) - {"muster_agent"}
    }
    assert strangers == set()
