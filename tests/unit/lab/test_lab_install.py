# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""install.sh, on a Debian that lacks everything and on this one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab import Lab

SCRIPT = Path(__file__).resolve().parents[2] / "lab/install.sh"


def test_nothing_is_done_where_nothing_is_missing(lab: Lab) -> None:
    done = subprocess.run([SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "lab: everything it needs is installed\n")


def test_without_root_it_says_what_is_missing_and_is_content(lab: Lab) -> None:
    (lab["n001"].root / "var/tmp/install.sh").write_text(SCRIPT.read_text())
    done = lab.execute("n001", "sh", "/var/tmp/install.sh", user="ops")
    assert done.returncode == 0
    packages = "systemd-container debootstrap nftables pdsh gcc strace xfsprogs"
    assert done.stdout == f"lab: needs Debian, root and these packages: {packages}; tests that use it will be skipped\n"
