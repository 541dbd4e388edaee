# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as the state keeps them: UTC, ISO 8601, microseconds."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from .errors import InvalidInput

UTC = timezone.utc  # noqa: UP017  # datetime.UTC needs 3.11, and ansible-test compiles this file for older targets


_LENGTH = re.compile(
    r"([0-9]+(?:\.[0-9]+)?) *(s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?|d|days?|w|weeks?)", re.ASCII
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def iso(moment: datetime) -> str:
    """``moment`` (aware) as ``2026-11-23T01:02:03.000004Z``: such strings sort as the times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """The aware time that :func:`iso` wrote; a trailing ``Z`` and an offset are both understood."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def duration(text: str) -> timedelta:
    """``90s``, ``30m``, ``1h``, ``2d`` or ``4w``; raises :class:`InvalidInput` for anything else."""
    found = _LENGTH.fullmatch(text.strip().lower())
    try:
        return timedelta(seconds=float(found[1]) * _SECONDS[found[2][0]] if found else float("nan"))
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text!r} is no length of time", "write it as 30m, 1h, 2d or 4w") from None


def length(seconds: float) -> str:
    """A length of time as people say it: ``1 h 02 min``."""
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def before(now: datetime, span: timedelta) -> datetime:
    """The time so long before ``now``, or the beginning of time."""
    try:
        return now - span
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def moment(text: str, now: datetime) -> datetime:
    """A time as people give it: how long before ``now`` (:func:`duration`), or ISO 8601 (UTC unless it says)."""
    try:
        given = parse(text)
    except ValueError:
        try:
            return now - duration(text)
        except OverflowError:
            raise InvalidInput(f"{text} is beyond the calendar", "write it as 30m, 1h, 2d or 4w") from None
        except InvalidInput as error:
            error.hint = f"{error.hint}, or as a date: {iso(now)[:10]}"
            raise
    try:
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"{text} is beyond the calendar", "write it as 30m, 1h, 2d or 4w") from None


def utc_now() -> datetime:
    """The clock of this machine: edges call it, decisions take its value as an argument."""
    return datetime.now(UTC)
