# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same promise on real file systems, whose power is cut while several processes write."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.crash.power.outage import ISOLATED, SIZES, arguments
from tests.crash.power.recording import ROOT
from tests.needs import need

ROUNDS = max(5, int(os.environ.get("MUSTER_CRASH_ROUNDS", "0")) // 40)
"""Of a round of ``test_kill.py`` it takes the time of forty."""


def missing(filesystem: str) -> str | None:
    """What this machine lacks for it."""
    if os.geteuid() != 0:
        return "only root can mount a file system, and cut its power"
    for command in ("unshare", "mount", "umount", "losetup", f"mkfs.{filesystem}"):
        if not shutil.which(command):
            return f"{command} is not installed"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    if subprocess.run([*ISOLATED, "true"], capture_output=True).returncode != 0:
        return "namespaces of one's own are not allowed here"
    return None


@pytest.mark.parametrize("filesystem", SIZES)
def test_a_file_system_whose_power_is_cut_under_load_keeps_all_that_was_acknowledged(
    tmp_path: Path, filesystem: str
) -> None:
    need(missing(filesystem))
    ended = subprocess.run(arguments(filesystem, ROUNDS, tmp_path), cwd=ROOT, capture_output=True, text=True)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stderr
    assert not subprocess.check_output(["losetup", "--associated", tmp_path / "image"]), (
        "its loop device is still there"
    )
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text(), "it is still mounted"
    (tmp_path / "image").unlink()
