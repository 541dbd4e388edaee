# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job ids: short, sortable by time, unique, safe in file names."""

from __future__ import annotations

import secrets
from datetime import datetime

from .times import UTC

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
_BIRTH = datetime(2024, 1, 1, tzinfo=UTC)


def new_job_id(now: datetime) -> str:
    """Ten characters: seven of seconds since 2024 (good for 1,000 years), three random."""
    seconds = int((now - _BIRTH).total_seconds())
    return _base32(seconds, 7) + _base32(secrets.randbelow(32**3), 3)


def _base32(number: int, width: int) -> str:
    digits = []
    for _position in range(width):
        number, rest = divmod(number, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))
