# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``muster`` command: what the cluster is and does, for people and for scripts."""

from __future__ import annotations

from .app import main

__all__ = ["main"]
