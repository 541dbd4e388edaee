# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ended attempts leave on a node goes after a while, whether anybody has looked at it or not."""

from __future__ import annotations

import contextlib
import os
import time

from . import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .layout import Layout

DAY_S = 86400.0
OLD_S, FEW = 30 * DAY_S, 20
"""An attempt is forgotten when it ended so long ago, and so many have ended since: a clock that jumps takes not all."""
MANY = 200
"""Of more, those that ended more than a day ago are forgotten as well."""


def forget_old(layout: Layout) -> None:
    """Take away attempts that ended long ago and of which nothing is left, and what a start or a removal left behind
    when it died. What cannot be taken away stays.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(layout.jobs):
            path = os.path.join(layout.jobs, name)
            if name.startswith(".") and _age(path) > DAY_S:
                _remove(path)
    aged = sorted((_age(record.status_path(layout, *attempt)), attempt) for attempt in layout.attempts())
    for place, (age, attempt) in enumerate(aged):
        status = record.look(layout, *attempt)
        if status and record.ended(status) and not status["left"]:
            record.forget_secrets(layout, *attempt)  # its supervisor may have died before it could
            if (place >= FEW and age > OLD_S) or (place >= MANY and age > DAY_S):
                path = layout.attempt(*attempt)
                nameless = os.path.join(layout.jobs, f".{os.path.basename(path)}.{os.getpid()}.gone")
                with contextlib.suppress(OSError):
                    os.rename(path, nameless)
                    _remove(nameless)


def _age(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return 0.0


def _remove(path: str) -> None:
    import shutil  # of the standard library, not of the agent's file; it costs a start some milliseconds

    # Safe where the job's user, to whom a directory in it belongs, puts links in its way.
    shutil.rmtree(path, ignore_errors=True)
