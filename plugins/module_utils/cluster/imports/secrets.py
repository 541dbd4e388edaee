# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets never reach the state, those in foreign files neither: they are masked as in a job's environment."""

from __future__ import annotations

from typing import Any

from ...model.masking import masked


def without_secrets(value: Any, hidden: list[str], place: str = "", name: str = "") -> Any:
    """``value`` with what looks like secrets masked; ``hidden`` gets the places where there were any."""
    if isinstance(value, dict):
        return {key: without_secrets(item, hidden, f"{place}.{key}".lstrip("."), key) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item, hidden, f"{place}.{index}", name) for index, item in enumerate(value)]
    if isinstance(value, str) and (safe := masked({name: value})[name]) != value:
        hidden.append(place)
        return safe
    return value
