# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sleeping until something happens: a signal ends every wait of the supervisor at once, and none is missed in
between."""

from __future__ import annotations

import os
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType


class Wake:
    """Turns SIGCHLD, SIGTERM and SIGINT into a readable descriptor; SIGHUP (a lost connection) is ignored.

    `told_to_stop` becomes true with the first SIGTERM or SIGINT.
    """

    def __init__(self) -> None:
        self._reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.told_to_stop = False
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wait(self, until: float, interests: dict[int, int] | None = None) -> list[int]:
        """Sleep until `until` (monotonic), a signal, or until one of the descriptors (-> poll events) is ready.

        Returns the descriptors that are ready.
        """
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        for descriptor, events in (interests or {}).items():
            poll.register(descriptor, events)
        milliseconds = max(0.0, until - time.monotonic()) * 1000
        ready = [descriptor for descriptor, _events in poll.poll(milliseconds)]
        if self._reader in ready:
            ready.remove(self._reader)
            os.read(self._reader, 4096)
        return ready

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.told_to_stop = True
