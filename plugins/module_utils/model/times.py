# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as the state keeps them: UTC, ISO 8601, microseconds."""

from __future__ import annotations

from datetime import datetime, timezone

UTC = timezone.utc  # noqa: UP017  # datetime.UTC needs 3.11, and ansible-test compiles this file for older targets


def iso(moment: datetime) -> str:
    """``moment`` (aware) as ``2026-11-23T01:02:03.000004Z``: such strings sort as the times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """The aware time that :func:`iso` wrote; a trailing ``Z`` and an offset are both understood."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def utc_now() -> datetime:
    """The clock of this machine: edges call it, decisions take its value as an argument."""
    return datetime.now(UTC)
