# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the controller reaches nodes: where they are, over what, one command or all nodes at once, and their agents."""

from __future__ import annotations

from .agents import AgentClient, AgentError, AgentReply, Dial, client_for
from .dial import Dialer, preload
from .fan_out import Outcome, fan_out
from .local import LocalTransport
from .reach import transport_to
from .ssh import SshTransport
from .sudo import SudoTransport
from .target import Target
from .transport import Failure, Reply, Transport, Unreachable

__all__ = [
    "AgentClient",
    "AgentError",
    "AgentReply",
    "Dial",
    "Dialer",
    "Failure",
    "LocalTransport",
    "Outcome",
    "Reply",
    "SshTransport",
    "SudoTransport",
    "Target",
    "Transport",
    "Unreachable",
    "client_for",
    "fan_out",
    "preload",
    "transport_to",
]
