# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending a playbook run as when its machine dies; what it has begun on nodes goes on there."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from muster.agent import processes


def kill_playbook(process: subprocess.Popen[str]) -> None:
    """SIGKILL it with its workers, to which Ansible gives sessions of their own. Agents of nodes that are pretended on
    this machine are their children as well, and are left alone."""
    process.send_signal(signal.SIGSTOP)  # so that it forks no more
    for child in processes.descendants([process.pid]):
        try:
            if b"ansible-playbook" in Path(f"/proc/{child.pid}/cmdline").read_bytes():
                os.kill(child.pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue
    process.kill()
    process.communicate()
