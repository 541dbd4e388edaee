# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is written with a change that Ansible makes, and through what it was made. AWX says so in extra variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils.store import actor


def user_of(variables: Mapping[str, Any]) -> str:
    """``ansible:<user>@<control host>``: the user of AWX where there is one."""
    return actor("ansible", str(variables.get("awx_user_name") or ""))


def origin_of(play: object, variables: Mapping[str, Any]) -> str:
    """The play of this name, and the job of AWX."""
    job = variables.get("awx_job_id")
    return ", ".join([*([f"play {play}"] if play else []), *([f"AWX job {job}"] if job else [])])
