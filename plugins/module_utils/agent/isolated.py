# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a question in a process of its own: it may hang in a driver or a file system, crash, or give up its rights."""

from __future__ import annotations

import json
import os
import select
import signal
import time

from . import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class NoAnswer(Exception):
    """The process ended without an answer, or had given none in time. The message is half a sentence."""


def ask(question: Callable[[], Any], timeout_s: float) -> Any:
    """Return what `question` returns (as JSON carries it). Raises NoAnswer.

    A process that a kill does not end (it waits in the kernel) is left behind rather than waited for.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(question, writer)
    os.close(writer)
    try:
        text = _read(reader, time.monotonic() + timeout_s)
    finally:
        os.close(reader)
    if text is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
        raise NoAnswer(f"did not answer within {timeout_s:g} s")
    status = os.waitpid(pid, 0)[1]
    if not text:
        how = f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
        raise NoAnswer(f"{how} before it answered")
    answer = json.loads(text)
    if "error" in answer:
        raise NoAnswer(f"failed: {answer['error']}")
    return answer["value"]


def _answer(question: Callable[[], Any], writer: int) -> None:
    # A process that hangs must not keep the locks and sockets of the one that asked, nor hear signals as that does.
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    processes.close_all_but(writer)
    try:
        text = json.dumps({"value": question()})
    except Exception as error:  # handed to the asking process, which decides
        text = json.dumps({"error": f"{type(error).__name__}: {error}"})
    data = text.encode()
    while data:
        data = data[os.write(writer, data) :]
    os._exit(0)


def _read(reader: int, deadline: float) -> bytes | None:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    text = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000 + 1):
            return None
        part = os.read(reader, 65536)
        if not part:
            return text
        text += part
