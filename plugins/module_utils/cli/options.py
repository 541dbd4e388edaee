# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that many commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Store = Annotated[
    "str | None",
    typer.Option(envvar="MUSTER_STORE", metavar="DIR", help="Where the cluster's state lives."),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON, times in UTC.")]
