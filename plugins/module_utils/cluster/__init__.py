# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facade over the state: one method a transaction."""

from __future__ import annotations

from . import imports
from .drains import Drains
from .facade import Cluster, node_documents, open_cluster
from .forgotten import forgotten
from .invariants import Violation
from .jobs import Outcome, starts_again
from .nodes import NodeChange, unknown_node
from .view import View

__all__ = [
    "Cluster",
    "Drains",
    "NodeChange",
    "Outcome",
    "View",
    "Violation",
    "forgotten",
    "imports",
    "node_documents",
    "open_cluster",
    "starts_again",
    "unknown_node",
]
