# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment of a rank: a clean base, what the plan says, and the few things that only the node knows."""

from __future__ import annotations

import os

from . import interfaces, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .accounts import Account
    from .layout import Layout

    Document = dict[str, Any]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base(account: Account) -> dict[str, str]:
    """Return what a fresh login of the user would have; nothing of the agent's own environment leaks in."""
    return {
        "PATH": PATH,
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": account.shell,
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }


def of_rank(layout: Layout, spec: Document, process: Document, account: Account, error_file: str) -> dict[str, str]:
    """Return the whole environment of one rank. The job's own variables win over all but Muster's."""
    env = base(account)
    env["TORCHELASTIC_ERROR_FILE"] = error_file
    peers = [address for node, address in spec["addresses"].items() if node != spec["node"]]
    interface = spec["interface"] or (interfaces.towards(peers[0]) if peers else "lo")
    if interface:
        env["NCCL_SOCKET_IFNAME"] = env["GLOO_SOCKET_IFNAME"] = interface
    env.update(process["env"])
    env.update(record.markers(spec))
    env["MUSTER_STATE_DIR"] = layout.state_dir
    return env


def working_directory(spec: Document, account: Account) -> str:
    """Return the job's directory; a job that names none starts where a login of its user would."""
    return str(spec["cwd"] or account.home)
