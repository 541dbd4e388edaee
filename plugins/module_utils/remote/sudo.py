# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands as another user of the node, where sudo asks for no password."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from .transport import Reply, Transport


class SudoTransport:
    """Another transport, with every command run through ``sudo -n``."""

    def __init__(self, inner: Transport, user: str) -> None:
        self.name = inner.name
        self._inner = inner
        self._user = user

    def run(
        self,
        command: str,
        stdin: bytes = b"",
        timeout_s: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """As in ``Transport``."""
        return self._inner.run(
            f"exec sudo -n -H -u {shlex.quote(self._user)} /bin/sh -c {shlex.quote(command)}",
            stdin,
            timeout_s,
            on_stdout,
        )

    def close(self) -> None:
        """As in ``Transport``."""
        self._inner.close()
