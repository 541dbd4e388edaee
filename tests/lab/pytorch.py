# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PyTorch on the nodes: a virtual environment of their own Python, made on this machine and shown to them read-only.

Installing it in each node would take its disk, the network that it does not have, and a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..cache import cached
from .command import call
from .rootfs import rootfs

VERSION = "2.13.0"
PLACE = "/opt/torch"
PYTHON = f"{PLACE}/bin/python3"
"""The interpreter, as a node sees it; PLACE/bin also has torchrun."""

TORCHRUN = f"#!{PYTHON}\nfrom torch.distributed.run import main\nmain()\n"


def torch() -> dict[str, Path]:
    """The `binds` of a lab whose nodes have torch; the first call on a machine installs it (about a minute)."""
    python = (rootfs() / "usr/bin/python3").readlink().name

    def install(place: Path) -> None:
        call(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--target", place / "lib" / python / "site-packages"),
            *("--python-version", python.removeprefix("python"), "--only-binary", ":all:", f"torch=={VERSION}"),
        )
        (place / "bin").mkdir()
        (place / "bin/python3").symlink_to("/usr/bin/python3")
        (place / "bin/torchrun").write_text(TORCHRUN)
        (place / "bin/torchrun").chmod(0o755)
        (place / "pyvenv.cfg").write_text("home = /usr/bin\n")

    return {PLACE: cached(f"torch-{VERSION}-{python}", install)}
