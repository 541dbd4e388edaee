# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clerk of the bank (see ``tests/crash/worker.py``) whose power is cut.

``python -m tests.crash.power.worker STORE CLERK SEED [TRANSACTIONS [BACKUP]]``.
Standard output gets a line for each transaction that was acknowledged: when (``time.monotonic_ns``), and its number.
Standard error gets one for all that the store has to say: when, and what.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

from muster.store import restore

from .. import mutants
from ..worker import TINY, Clerk


def acknowledge(number: int) -> None:
    """The transaction is on disk, says the store."""
    os.write(1, b"%d %d\n" % (time.monotonic_ns(), number))


def say(news: str) -> None:
    """What a person would hear from the store."""
    os.write(2, b"%d %s\n" % (time.monotonic_ns(), " ".join(news.split()).encode()))


def main(path: str, me: str, seed: str, transactions: str = "", backup: str = "") -> None:
    """Restore the backup, if there is one, then make so many transactions, or as many as can be made."""
    mutants.become()
    clerk = Clerk(Path(path), me, seed=int(seed), compact_bytes=TINY, tell=say)
    try:
        if backup:
            restore(clerk.store, Path(backup), who=me, force=True)
            acknowledge(clerk.counted())
        for _turn in range(int(transactions)) if transactions else itertools.count():
            acknowledge(clerk.act()[0])
    except Exception as error:  # without power, or for the wrong reason: who reads it knows when the power failed
        say(f"{type(error).__name__}: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
