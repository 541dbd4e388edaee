# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes' root file system: Debian, made once by debootstrap, kept in the user's cache and never written to again.

Every node sees it through an overlay. It is named after a digest of what went into it, so that a changed package list
makes a new one.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
from pathlib import Path

from ..cache import cached
from .command import LabError, call

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "iproute2",
    "iputils-ping",
    "sudo",
    "ca-certificates",
)
# After the packages: the unprivileged user whom people log in as.
COMMANDS = (("useradd", "--create-home", "--shell", "/bin/bash", "ops"),)


def rootfs() -> Path:
    """The root file system of this machine's Debian release; the first call on a machine makes it (about a minute)."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    digest = hashlib.sha256(repr((codename, platform.machine(), PACKAGES, COMMANDS)).encode()).hexdigest()[:12]
    return cached(f"rootfs-{codename}-{digest}", lambda place: _debootstrap(place, codename))


def _debootstrap(place: Path, codename: str) -> None:
    # A mount namespace of its own: whatever debootstrap mounts is gone with it, however it ends.
    call(
        *("unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase"),
        *(f"--include={','.join(PACKAGES)}", codename, place, _mirror(codename)),
    )
    for command in COMMANDS:
        call("chroot", place, *command)
    shutil.rmtree(place / "var/cache/apt/archives")


def _mirror(codename: str) -> str:
    """The address from which this machine itself installs Debian's packages."""
    targets = call("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in targets.stdout.splitlines():
        release, component, address = line.split(maxsplit=2)
        if (release, component) == (codename, "main"):
            return address
    raise LabError(f"apt has no source for Debian {codename} main from which a root file system could be made")
