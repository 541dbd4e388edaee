# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that look at the node in our place: the interpreter that PyTorch is to run in, and the user's own checks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess  # the agent is no module
from collections.abc import Mapping, Sequence

OUTPUT_BYTES = 4096


class DidNotEnd(Exception):
    """The program was still running when its time was over, and has been killed."""


def run(
    command: Sequence[str],
    env: Mapping[str, str],
    timeout_s: float,
    *,
    user: int | None = None,
    group: int | None = None,
) -> tuple[int, str]:
    """Return exit code and the first 4 KiB of its output (stderr as well). Raises OSError, DidNotEnd.

    What it leaves behind goes with it. A kill that does not end it is not waited for.
    """
    process = subprocess.Popen(  # pylint: disable=ansible-bad-function  # the agent is no module
        list(command),
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd="/",
        user=user,
        group=group,
        extra_groups=None if user is None else [],
    )
    try:
        output, _nothing = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise DidNotEnd from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output[:OUTPUT_BYTES].decode(errors="replace").strip()
