# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where Python processes are stuck, written into a log: by py-spy where it is installed."""

from __future__ import annotations

import contextlib
import os

from . import environment, isolated, preflight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 32
TIMEOUT_S = 20.0


def dump(processes: Iterable[tuple[int, str]], path: str) -> None:
    """Append the stacks of the Python processes among these (pids, each with its log), if there is py-spy.

    As root only what is installed in a system directory is run, and not what the job's own `path` finds: the job's user
    may have put it there.
    """
    program = preflight.find_executable("py-spy", environment.PATH if os.geteuid() == 0 else path, "/")
    if program is None:
        return
    found = [(pid, log) for pid, log in processes if _is_python(pid)][:MOST]

    def run() -> None:  # all at once: they are to be seen as they stand at one moment
        for pid, log in found:
            output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            actions = [(os.POSIX_SPAWN_DUP2, output, descriptor) for descriptor in (1, 2)]
            # pylint: disable-next=ansible-bad-function  # the agent is no module
            os.posix_spawn(program, [program, "dump", "--pid", str(pid)], dict(os.environ), file_actions=actions)
        for _process in found:
            os.wait()

    with contextlib.suppress(isolated.NoAnswer):  # what it has written by then stands in the log
        isolated.ask(run, TIMEOUT_S)


def _is_python(pid: int) -> bool:
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("python")
    except OSError:
        return False
