# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where everything lies in a node's state directory."""

from __future__ import annotations

import os

DEFAULT_STATE_DIR = "/var/lib/muster"
SETTINGS = "/etc/muster/agent.json"
MONITOR = "/run/muster"


class Layout:
    """The paths below one state directory. Nothing is named after the host: several nodes may share a machine."""

    def __init__(self, state_dir: str) -> None:
        self.state_dir = os.path.abspath(state_dir)
        self.jobs = os.path.join(self.state_dir, "jobs")
        self.locks = os.path.join(self.state_dir, "locks")
        self.run = os.path.join(self.state_dir, "run")
        self.health = os.path.join(self.state_dir, "health")
        # Nodes that share a machine have all in their own directory. The usual one has settings where an admin looks
        # first, and what the monitor says now in memory: a full or dead disk is the first thing that it must be able to
        # tell.
        usual = self.state_dir == DEFAULT_STATE_DIR
        self.settings = SETTINGS if usual else os.path.join(self.state_dir, "agent.json")
        self.monitor = MONITOR if usual else os.path.join(self.state_dir, "monitor")

    def create(self) -> None:
        """Make the directories that are missing. Raises OSError."""
        for path in (self.jobs, self.locks, self.run):
            os.makedirs(path, mode=0o755, exist_ok=True)

    def attempt(self, job: str, attempt: int) -> str:
        return os.path.join(self.jobs, f"{job}.{attempt}")

    def attempts(self, job: str | None = None) -> list[tuple[str, int]]:
        """Return the (job, attempt) pairs that have a directory, oldest first (job ids sort by time)."""
        try:
            names = os.listdir(self.jobs)
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            owner, _dot, number = name.rpartition(".")
            if owner and not owner.startswith(".") and number.isdigit() and (job is None or owner == job):
                found.append((owner, int(number)))
        return sorted(found)


def default_state_dir(program: str) -> str:
    """Return the parent of the `bin` directory that holds the agent's file, else the usual place."""
    directory = os.path.dirname(os.path.abspath(program))
    return os.path.dirname(directory) if os.path.basename(directory) == "bin" else DEFAULT_STATE_DIR
