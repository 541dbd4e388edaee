# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What running one command on one node comes down to, whatever carries it there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Failure = Literal["unreachable", "host_key", "auth", "timeout", "setup"]
"""Why there is no answer: no connection, an unknown or changed host key, no key that is accepted, no end within the
time given, or a connection that cannot even be tried (a library is missing, an ssh configuration is unreadable)."""


@dataclass(frozen=True)
class Reply:
    """What came back. Either ``rc`` is the command's own exit code, or ``error`` is a sentence on why there is none."""

    name: str
    rc: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    error: str | None = None
    failure: Failure | None = None
    transport: str = ""


class Unreachable(Exception):
    """A node that a command could not be run on: one sentence that names it, and what kind of failure it is."""

    def __init__(self, message: str, failure: Failure = "unreachable") -> None:
        super().__init__(message)
        self.failure = failure


class Transport(Protocol):
    """A way to run commands on one node. Connections stay open between two runs, until ``close``."""

    @property
    def name(self) -> str:
        """The node's name."""

    def run(
        self,
        command: str,
        stdin: bytes = b"",
        timeout_s: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """Give ``command`` to the node's shell and wait for its end, at most ``timeout_s`` seconds.

        :param on_stdout: gets each piece of stdout as it arrives, instead of its being collected in the reply.
        Never raises for a node's failure: that is in ``Reply.error``.
        """

    def close(self) -> None:
        """Close what is open, unless a command is running. A later ``run`` connects again."""
