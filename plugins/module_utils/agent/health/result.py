# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check says of one thing: a GPU, a mount, a link, or the node."""

from __future__ import annotations

from typing import Any, NamedTuple

OK = "OK"
WARNING = "WARNING"
CRITICAL = "CRITICAL"
UNKNOWN = "UNKNOWN"
SKIPPED = "SKIPPED"
STATUSES = (OK, WARNING, CRITICAL, UNKNOWN, SKIPPED)

SEVERITY = {SKIPPED: 0, OK: 0, UNKNOWN: 1, WARNING: 2, CRITICAL: 3}
"""Which of two is worse. What cannot be told is worse than good, and never good."""


class Result(NamedTuple):
    """`entity` tells the things apart that one check looks at, by what stays the same over a reboot (a GPU's uuid);
    `label` is what people call it. `reason` is a sentence without a full stop, and `action` what to do about it."""

    status: str
    reason: str
    action: str = ""
    entity: str = ""
    label: str = ""
    value: Any = None
    unit: str = ""
    threshold: Any = None
    mended: bool = False
    """Whether it was seen that the thing was reset since its last fault, so that a latch of it goes."""


Told = dict[str, Any]
"""Some of a result's fields, by name."""


def at_least(value: float, warning: float | None, critical: float | None) -> tuple[str, float | None]:
    """Return the status of a value that is bad when it is high, and the threshold that it has reached (or will)."""
    if critical is not None and value >= critical:
        return CRITICAL, critical
    if warning is not None and value >= warning:
        return WARNING, warning
    return OK, critical if warning is None else warning


def below(value: float, warning: float | None, critical: float | None) -> tuple[str, float | None]:
    """Return the status of a value that is bad when it is low, and the threshold that it is below (or will be)."""
    if critical is not None and value < critical:
        return CRITICAL, critical
    if warning is not None and value < warning:
        return WARNING, warning
    return OK, critical if warning is None else warning
