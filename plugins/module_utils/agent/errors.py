# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exit codes (those of sysexits.h) and the one error that becomes an answer."""

from __future__ import annotations

USAGE = 64
BAD_SPEC = 65
NO_SUCH_JOB = 66
REFUSED = 69
INTERNAL = 70
TIMED_OUT = 75
OTHER_VERSION = 76

# What to do about the problems for which an attempt is refused.
HINTS = {
    "attempt_exists": "a new epoch needs a new attempt",
    "cwd_forbidden": "let muster_job.user enter it, or change muster_job.cwd",
    "cwd_missing": "make it on these nodes (a shared file system, or a copy at that path), or change muster_job.cwd",
    "executable_not_found": "install it on these nodes, give its full path, or set PATH in muster_job.env",
    "gate_timeout": "see why that node did not start in time, and launch again",
    "gate_unreachable": "open ports 20000 to 29999 between the nodes, or correct muster_address or muster_interface",
    "gpu_missing": "run sync.yml, and look at nvidia-smi on that node",
    "interface_missing": "correct muster_interface",
    "link_unreachable": "open ports 20000 to 29999 between the nodes",
    "locked": "wait for that job, or stop it with release.yml",
    "pair_unreachable": "let the nodes of a cluster reach each other on all ports, or correct muster_address",
    "gpu_busy": "end those processes; if they are a job's that is over, say so: Muster should have ended them",
    "node_unhealthy": "see `muster health`, and enter it in the state with health.yml: other nodes are taken then",
    "node_unknown": "see `muster health`; wait for its monitor, or restart it with `muster daemon restart`",
    "port_taken": "end that program, or launch again with another port",
    "preflight_failed": "look at the file systems and the GPUs of that node",
    "stale_epoch": "a newer launch has taken over: nothing is to be done",
    "user_forbidden": "connect as root (become), or leave out muster_job.user",
    "user_unknown": "make the user on these nodes, or change muster_job.user",
    "would_run_as_root": "set muster_job.user, or run provision.yml, which makes the user muster",
}


class AgentError(Exception):
    """Something a person can act on: a code for programs, one sentence and a hint for people, and the exit code."""

    def __init__(self, code: str, message: str, hint: str | None = None, exit_code: int = REFUSED) -> None:
        """`hint`: None for what HINTS says about the code."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = HINTS.get(code, "") if hint is None else hint
        self.exit_code = exit_code
