# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the machine's own tools (ip, nft, mount, systemd-nspawn ...) and saying plainly when one of them fails."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from time import monotonic, sleep


class LabError(Exception):
    """The lab cannot do what was asked; the message is one sentence for a person, and the tool's own words after it."""


def call(*argv: object, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, stdout and stderr together. Raises LabError if it fails, unless `check` is false."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except FileNotFoundError:
        raise LabError(f"{words[0]} is not installed: run tests/lab/install.sh") from None
    if check and done.returncode:
        raise LabError(f"`{' '.join(words)}` failed with exit code {done.returncode}: {done.stdout.strip()}")
    return done


def wait_until(true: Callable[[], bool], timeout_s: float, what: str, poll_s: float = 0.02) -> None:
    """Return as soon as `true()` is; LabError says that `what` did not happen within `timeout_s` seconds."""
    deadline = monotonic() + timeout_s
    while not true():
        if monotonic() > deadline:
            raise LabError(f"{what} did not happen within {timeout_s:g} s")
        sleep(poll_s)
