# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs where, as pure functions: capacity, placement, ports, ranks."""

from __future__ import annotations

from .capacity import Capacity, capacities
from .placement import Placement, place, rank_order
from .plan import NodePlan, RankPlan, rank_environment, rank_plan, start_requests
from .ports import PORTS, choose_ports

__all__ = [
    "PORTS",
    "Capacity",
    "NodePlan",
    "Placement",
    "RankPlan",
    "capacities",
    "choose_ports",
    "place",
    "rank_environment",
    "rank_order",
    "rank_plan",
    "start_requests",
]
