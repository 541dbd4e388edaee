# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check is given besides the facts."""

from __future__ import annotations

from typing import Any, NamedTuple

from .settings import Settings


class Ask(NamedTuple):
    """`warning` and `critical` are the thresholds of this check. `memory` is its own, kept from one sample to the next
    and over restarts of the daemon (JSON; empty at the first sample after a boot). `now`: seconds since boot."""

    settings: Settings
    warning: float | None
    critical: float | None
    memory: dict[str, Any]
    now: float
