# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab: real Debian nodes with systemd and sshd on one machine, for tests of anything about nodes."""

from __future__ import annotations

from .command import LabError
from .lab import Lab, labs, sweep
from .node import Node
from .process import Process

__all__ = ["Lab", "LabError", "Node", "Process", "labs", "sweep"]
