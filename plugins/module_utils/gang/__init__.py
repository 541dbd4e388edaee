# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gang: all ranks of an attempt, on all its nodes, started, followed and stopped as one."""

from __future__ import annotations

from .follow import Ended, OutOfTouch, follow_gang
from .recover import Finding, Recovered, recover_gangs
from .report import Report, first_failure, outcome, told
from .restart import Means, follow_with_restarts
from .settle import settle_gang, settle_gangs
from .start import NotStarted, Started, start_gang
from .stop import release_gang, stop_gang, to_be_released

__all__ = [
    "Ended",
    "Finding",
    "Means",
    "NotStarted",
    "OutOfTouch",
    "Recovered",
    "Report",
    "Started",
    "first_failure",
    "follow_gang",
    "follow_with_restarts",
    "outcome",
    "recover_gangs",
    "release_gang",
    "settle_gang",
    "settle_gangs",
    "start_gang",
    "stop_gang",
    "to_be_released",
    "told",
]
