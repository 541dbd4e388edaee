# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is: nodes, jobs, leases, and what may happen to them. No I/O; imports nothing of ours."""

from __future__ import annotations

from .errors import (
    Conflict,
    Damaged,
    InUse,
    InvalidInput,
    InvalidTransition,
    MusterError,
    NoCapacity,
    NotFound,
    StaleEpoch,
    StoreError,
)
from .identity import new_job_id
from .job import ENDED, Attempt, Constraints, Job, JobSpec, State, checked_transition, restarts
from .lease import Lease, lease_id, lease_parts
from .masking import SECRET
from .names import counted, natural, nearest
from .node import Admin, Alert, Gpu, Health, Node, NodeFacts, Reachability, Status, status
from .times import before, duration, iso, length, moment, parse, utc_now
from .validation import restored, validated

__all__ = [
    "ENDED",
    "SECRET",
    "Admin",
    "Alert",
    "Attempt",
    "Conflict",
    "Constraints",
    "Damaged",
    "Gpu",
    "Health",
    "InUse",
    "InvalidInput",
    "InvalidTransition",
    "Job",
    "JobSpec",
    "Lease",
    "MusterError",
    "NoCapacity",
    "Node",
    "NodeFacts",
    "NotFound",
    "Reachability",
    "StaleEpoch",
    "State",
    "Status",
    "StoreError",
    "before",
    "checked_transition",
    "counted",
    "duration",
    "iso",
    "length",
    "lease_id",
    "lease_parts",
    "moment",
    "natural",
    "nearest",
    "new_job_id",
    "parse",
    "restarts",
    "restored",
    "status",
    "utc_now",
    "validated",
]
