# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floors of the house, as pyproject.toml states them: they hold, and whoever breaks one is told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says about the library in ``tree``/plugins."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", str(tree / "pyproject.toml")],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "plugins")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the library that may be spoilt."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "plugins" / "module_utils", tmp_path / "plugins" / "module_utils", ignore=ignore)
    return tmp_path


def test_the_library_keeps_its_floors() -> None:
    outcome = lint(ROOT)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(
    ("importer", "statement", "complaint"),
    [
        ("model", "from .. import store", "module_utils.model is not allowed to import module_utils.store"),
        ("store", "from .. import cluster", "module_utils.store is not allowed to import module_utils.cluster"),
        ("store", "from .. import scheduling", "module_utils.store is not allowed to import module_utils.scheduling"),
        ("scheduling", "from .. import store", "module_utils.scheduling is not allowed to import module_utils.store"),
        ("cluster", "from .. import remote", "module_utils.cluster is not allowed to import module_utils.remote"),
        ("remote", "from .. import cluster", "module_utils.remote is not allowed to import module_utils.cluster"),
        ("remote", "from .. import store", "module_utils.remote is not allowed to import module_utils.store"),
        ("cluster", "from .. import gang", "module_utils.cluster is not allowed to import module_utils.gang"),
        ("agent", "from .. import model", "module_utils.agent is not allowed to import module_utils.model"),
        ("agent", "import pydantic", "module_utils.agent is not allowed to import pydantic"),
        ("cluster", "import ansible.module_utils.basic", "module_utils is not allowed to import ansible"),
    ],
)
def test_an_import_that_runs_upwards_is_named(tree: Path, importer: str, statement: str, complaint: str) -> None:
    (tree / "plugins" / "module_utils" / importer / "spoilt.py").write_text(f"{statement}\n")
    outcome = lint(tree)
    assert outcome.returncode != 0
    assert complaint in outcome.stdout


def test_a_new_folder_must_be_given_its_floor(tree: Path) -> None:
    (tree / "plugins" / "module_utils" / "attic").mkdir()
    (tree / "plugins" / "module_utils" / "attic" / "__init__.py").touch()
    outcome = lint(tree)
    assert outcome.returncode != 0
    assert "module_utils.attic" in outcome.stdout
