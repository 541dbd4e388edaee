# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking nodes how they are, and steering what watches them. What a report says becomes what the state says."""

from __future__ import annotations

from .ask import Checkup, Source, Steering, clear, look_at, remarks, steer, trouble
from .words import HEADINGS, cells, last_check

__all__ = [
    "HEADINGS",
    "Checkup",
    "Source",
    "Steering",
    "cells",
    "clear",
    "last_check",
    "look_at",
    "remarks",
    "steer",
    "trouble",
]
