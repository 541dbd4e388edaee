# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where there can be no lab, the tests that need it say so: by skipping, or by failing if it is required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NEEDS_LAB = "def test_it(lab): pass"


def run_without_tools(directory: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest with the lab's fixtures on a test that needs them, where no tool can be found."""
    (directory / "test_it.py").write_text(NEEDS_LAB)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-rs",
            "-p",
            "tests.lab.fixtures",
            f"--rootdir={directory}",
            *options,
            directory,
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": "/nonexistent", "MUSTER_REQUIRE_LAB": "", **environment},
        capture_output=True,
        text=True,
    )


def test_without_the_tools_a_test_skips_and_says_why(tmp_path: Path) -> None:
    done = run_without_tools(tmp_path)
    assert done.returncode == 0
    assert "the lab needs " in done.stdout
    assert "1 skipped" in done.stdout


def test_a_lab_that_is_required_and_missing_is_a_failure(tmp_path: Path) -> None:
    done = run_without_tools(tmp_path, MUSTER_REQUIRE_LAB="1")
    assert done.returncode == 1
    assert "the lab needs " in done.stdout


def test_tests_that_need_the_lab_can_be_left_out_by_its_mark(tmp_path: Path) -> None:
    assert "1 deselected" in run_without_tools(tmp_path, "-m", "not lab").stdout
