# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all nodes of a lab share on top of the root file system: a second read-only layer, made anew for each lab."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .network import CONTROLLER

# Consoles, clocks and networks that a container does not have, and timers that would wake every node.
# systemd-logind needs more of a host than there is; systemd-user-sessions stays, else pam_nologin lets only root in.
MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty.target",
    "getty@.service",
    "modprobe@.service",
    "serial-getty@.service",
    "sys-kernel-debug.mount",
    "systemd-logind.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-update-utmp.service",
)

# On a host with cgroup v1, nspawn mounts the controllers read-only, and systemd then silently ignores MemoryMax=,
# CPUQuota= and TasksMax=. A node has a cgroup namespace rooted at its own group, so it may have them read-write.
INIT = """\
#!/bin/sh
for controller in memory cpu cpuacct pids; do
  [ -d /sys/fs/cgroup/$controller ] && mount -o remount,rw,bind /sys/fs/cgroup/$controller
done
exec /lib/systemd/systemd
"""

JOURNALD = """\
[Journal]
Storage=volatile
RuntimeMaxUse=16M
ForwardToConsole=no
ForwardToSyslog=no
"""

SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 300:30:600
MaxSessions 64
PrintMotd no
PrintLastLog no
"""


def write_layer(place: Path, rootfs: Path, addresses: Mapping[str, str], public_key: str) -> None:
    """Write the layer into `place`: boot, sshd, sudo for `ops`, `public_key` for `ops` and root, all nodes' names."""
    hosts = ["127.0.0.1 localhost", "::1 localhost", f"{CONTROLLER} controller"]
    hosts += [f"{address} {node}" for node, address in addresses.items()]
    files = {
        "lab/init": (INIT, 0o755),
        "etc/hosts": ("\n".join(hosts) + "\n", 0o644),
        # None: a name server that does not answer makes torchrun's rendezvous take 40 s.
        "etc/resolv.conf": ("", 0o644),
        "etc/ssh/sshd_config.d/lab.conf": (SSHD, 0o644),
        "etc/sudoers.d/lab": ("ops ALL=(ALL) NOPASSWD: ALL\n", 0o440),
        "etc/systemd/journald.conf.d/lab.conf": (JOURNALD, 0o644),
    }
    for name, (text, mode) in files.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
    units = place / "etc/systemd/system"
    units.mkdir()
    for unit in MASKED_UNITS:
        (units / unit).symlink_to("/dev/null")
    for home in ("root", "home/ops"):
        owner = (rootfs / home).stat()
        ssh = place / home / ".ssh"
        ssh.mkdir(parents=True)
        (ssh / "authorized_keys").write_text(public_key)
        for path in (place / home, ssh, ssh / "authorized_keys"):
            path.chmod(0o700 if path.is_dir() else 0o600)
            os.chown(path, owner.st_uid, owner.st_gid)
