# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself: it comes up, its nodes are what they claim to be, and it leaves nothing behind."""

from __future__ import annotations

from tests.lab import Lab


def test_every_node_is_reached_over_ssh_by_its_name(lab: Lab) -> None:
    for node in lab.nodes:
        assert lab.ssh(node, "hostname", "&&", "whoami", user="ops").stdout == f"{node}\nops\n"
