# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State that comes in from elsewhere: of the tools that people come from, and of Muster's own export."""

from __future__ import annotations

from .applying import Report, apply
from .export import exported
from .found import Imported
from .reading import KINDS, read

__all__ = ["KINDS", "Imported", "Report", "apply", "exported", "read"]
