# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a target to a transport, where nothing but the target is known: the CLI, which has no inventory."""

from __future__ import annotations

from .dial import Dialer
from .local import LocalTransport
from .ssh import SshTransport
from .sudo import SudoTransport
from .target import Target
from .transport import Transport


def transport_to(target: Target, dialer: Dialer) -> Transport:
    """The transport that a target asks for. Nothing is connected yet."""
    transport: Transport = LocalTransport(target) if target.transport == "local" else SshTransport(target, dialer)
    return SudoTransport(transport, target.become_user) if target.become_user else transport
