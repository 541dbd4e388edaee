# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor as a service of systemd's."""

from __future__ import annotations

import os
import re
import sys

from .. import units
from ..layout import DEFAULT_STATE_DIR, MONITOR, Layout

DIRECTORY = "/etc/systemd/system"
STOPS_WITHIN_S = 4

TEXT = """\
# Written by Muster (monitor.yml), which replaces it: changes of your own belong into a drop-in, systemctl edit {name}
[Unit]
Description=Muster node monitor
# The devices that it may see are found when it starts: those of a driver that is loaded later only after a restart.
After=local-fs.target systemd-modules-load.service nvidia-persistenced.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=2
WatchdogSec=60
# Whoever hangs in a driver cannot be killed, and is not waited for.
KillMode=mixed
TimeoutStopSec={stops_within_s}
{runtime}\
Nice=5
OOMScoreAdjust=-500
TasksMax=256

# What it need not do, it may not. It runs as root, for it reads the kernel's log and runs PyTorch as the jobs' user;
# it sees all devices of NVIDIA's and no other; it reads the clock's state (adjtimex) and may not set it.
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_SYSLOG CAP_KILL CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome=read-only
PrivateTmp=yes
# Not ProtectKernelTunables and ProtectControlGroups: in a container they show the boot_id of the machine below it.
ReadOnlyPaths=/proc/sys /sys
ProtectKernelModules=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service adjtimex
SystemCallErrorNumber=EPERM
DevicePolicy=closed
DeviceAllow=/dev/kmsg r
{devices}

[Install]
WantedBy=multi-user.target
"""
DEVICES = ("nvidia", "nvidiactl", "nvidia-frontend", "nvidia-uvm", "nvidia-caps", "nvidia-nvswitch")


def name_of(layout: Layout) -> str:
    """Return the name of the unit: one a state directory."""
    place = "" if layout.state_dir == DEFAULT_STATE_DIR else re.sub(r"[^A-Za-z0-9_.]", "-", layout.state_dir)
    return f"muster-monitor{place}.service"


def path_of(layout: Layout) -> str:
    """Return where the unit lies."""
    return os.path.join(DIRECTORY, name_of(layout))


def text_of(layout: Layout, prometheus: str | None = None) -> str:
    """Return the unit that runs this same agent with this same Python. `prometheus`: where else it is to write."""
    runtime = "RuntimeDirectory=muster\nRuntimeDirectoryPreserve=yes\n" if layout.monitor == MONITOR else ""
    words = units.agent_command(["--state-dir", layout.state_dir, "daemon"])
    return TEXT.format(
        name=name_of(layout),
        command=" ".join(_quoted(word) for word in [os.path.realpath(sys.executable), *words[1:]]),
        stops_within_s=STOPS_WITHIN_S,
        runtime=runtime,
        writable=" ".join(_quoted(path) for path in [layout.state_dir, *([f"-{prometheus}"] if prometheus else [])]),
        devices="\n".join(f"DeviceAllow=char-{device} rw" for device in DEVICES),
    )


def wanted() -> bool:
    """Whether the monitor is to be a service: systemd runs here, and we may tell it so."""
    return os.geteuid() == 0 and os.path.isdir("/run/systemd/system")


def _quoted(word: str) -> str:
    """Return a word of a unit file; `%` and `$` have a meaning there."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if re.search(r"[\s\"\\']", word) else word
