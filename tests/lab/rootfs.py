# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes' root file system: Debian, made once by debootstrap, kept in the user's cache and never written to again.

Every node sees it through an overlay. It is named after a digest of what went into it, so that a changed package list
makes a new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
from pathlib import Path

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


def cache() -> Path:
    """Where the lab keeps what is dear to make: `$XDG_CACHE_HOME/muster-lab`, outside the checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muster-lab"


def rootfs() -> Path:
    """The root file system of this machine's Debian release; the first call on a machine makes it (about a minute)."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    digest = hashlib.sha256(repr((codename, platform.machine(), PACKAGES, COMMANDS)).encode()).hexdigest()[:12]
    place = cache() / f"rootfs-{codename}-{digest}"
    if place.is_dir():
        return place
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / "rootfs.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            for abandoned in cache().glob("*.partial"):
                shutil.rmtree(abandoned)
            partial = Path(tempfile.mkdtemp(prefix="rootfs-", suffix=".partial", dir=cache()))
            # A mount namespace of its own: whatever debootstrap mounts is gone with it, however it ends.
            call(
                *("unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase"),
                *(f"--include={','.join(PACKAGES)}", codename, partial, _mirror(codename)),
            )
            for command in COMMANDS:
                call("chroot", partial, *command)
            shutil.rmtree(partial / "var/cache/apt/archives")
            partial.chmod(0o755)
            partial.rename(place)
    return place


def _mirror(codename: str) -> str:
    """The address from which this machine itself installs Debian's packages."""
    targets = call("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in targets.stdout.splitlines():
        release, component, address = line.split(maxsplit=2)
        if (release, component) == (codename, "main"):
            return address
    raise LabError(f"apt has no source for Debian {codename} main from which a root file system could be made")
