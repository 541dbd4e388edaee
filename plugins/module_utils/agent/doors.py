# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the nodes of a job can reach each other, as its ranks will have to, on ports that the kernel chooses."""

from __future__ import annotations

import contextlib

from . import sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .sockets import Waiter

    Document = dict[str, Any]
    Problem = dict[str, str]

MOST_PAIRS = 32
"""Of more nodes than this not every pair is tried, but each with the gate's node, both ways."""


@contextlib.contextmanager
def opened(spec: Document) -> Iterator[int]:
    """Listen at this node's door as long as the others may try it; gives its port, 0 where nobody will. Raises
    OSError."""
    if not spec["preflight"] or len(spec["gate"]["nodes"]) == 1:
        yield 0
        return
    with sockets.listen(spec["addresses"][spec["node"]], 0) as door:
        yield int(door.getsockname()[1])


def tried(spec: Document, doors: dict[str, tuple[str, int]], waiter: Waiter) -> list[Problem]:
    """Return the problems that this node has with reaching the doors (node -> address and port), as {code, message}."""
    mine = spec["node"]
    wanted = doors if len(doors) <= MOST_PAIRS or mine == spec["gate"]["node"] else [spec["gate"]["node"]]
    places = {name: (doors[name][0], doors[name][1]) for name in wanted if name != mine}
    problems = []
    for name, why in sockets.unreachable(places, waiter).items():
        message = (
            f"{mine} cannot reach {name} at {doors[name][0]} ({why}): a firewall between them, or its muster_address "
            "wrong? Ranks use ports that the kernel chooses"
        )
        problems.append({"code": "pair_unreachable", "message": message})
    return problems
