# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is this node fit to run a job? What is looked at, what it means, and the daemon that keeps looking.

Three steps, each of which can be read by itself. A *sampler* gathers facts in a process of its own, because a driver or
a file system may hang. A *check*, a pure function of facts, says OK, WARNING, CRITICAL, UNKNOWN or SKIPPED of each
thing that it looks at, why, and what to do. The *model* remembers: one bad sample is not yet a fault, and one good
sample does not mend it. `catalogue` is the table of all samplers and checks.
"""
