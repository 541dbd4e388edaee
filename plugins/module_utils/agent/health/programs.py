# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that look at the node in our place: the interpreter that PyTorch is to run in, and the user's own checks."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess  # the agent is no module
import time
from collections.abc import Mapping, Sequence

from ..accounts import Account

HEAD_BYTES = TAIL_BYTES = 4096
LOOK_AGAIN_S = 0.1


class DidNotEnd(Exception):
    """The program was still running when its time was over, and has been killed."""


def run(
    command: Sequence[str], env: Mapping[str, str], timeout_s: float, account: Account | None = None
) -> tuple[int, str]:
    """Return exit code and output (stderr as well), of much output the first and the last 4 KiB. `account`: whose
    rights it gets, instead of ours. Raises OSError, DidNotEnd.

    It is over when it ends, whoever still holds its output. What it leaves in its session goes with it.
    """
    switch = account is not None and account.switch
    process = subprocess.Popen(  # pylint: disable=ansible-bad-function  # the agent is no module
        list(command),
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd="/",
        user=account.uid if account and switch else None,
        group=account.gid if account and switch else None,
        extra_groups=os.getgrouplist(account.name, account.gid) if account and switch else None,
    )
    output = _Output(process.stdout.fileno() if process.stdout else -1)
    until = time.monotonic() + timeout_s
    try:
        while process.poll() is None:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise DidNotEnd
            if output.open:
                output.take(min(left_s, LOOK_AGAIN_S))
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(left_s)
        if output.open:
            output.take(0.0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout:
            process.stdout.close()
    return process.returncode, output.text()


class _Output:
    """What comes through a pipe: its start and its end are kept."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.open = True
        self._head = b""
        self._tail = b""

    def take(self, patience_s: float) -> None:
        """Take what is there, and wait so long for it if there is nothing."""
        self._poll.poll(patience_s * 1000)
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._descriptor, 65536):
                room = HEAD_BYTES - len(self._head)
                self._head += part[:room]
                self._tail = (self._tail + part[room:])[-TAIL_BYTES:]
            self.open = False

    def text(self) -> str:
        return (self._head + self._tail).decode(errors="replace").strip()
