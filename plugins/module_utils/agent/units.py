# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A supervisor in a systemd unit of its own: a cgroup that outlives the connection, and that systemd empties if the
supervisor dies. Only for root where systemd is PID 1; elsewhere the supervisor is a session of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import zlib

from .errors import AgentError
from .layout import DEFAULT_STATE_DIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .layout import Layout

# A unit starts with systemd's limits, not with those of a login: GPUs and InfiniBand pin memory, and a rank has many
# threads.
PROPERTIES = (
    "Type=exec",
    "KillMode=control-group",
    "LimitMEMLOCK=infinity",
    "LimitNOFILE=1048576",
    "TasksMax=infinity",
)
OOM_POLICY = "OOMPolicy=continue"  # systemd 243: it is for the supervisor to say what a killed rank means


def wanted() -> bool:
    """Whether this process can, and should, have systemd start the supervisor."""
    return os.geteuid() == 0 and os.path.isdir("/run/systemd/system")


def name(layout: Layout, job: str, attempt: int) -> str:
    """Return the unit of an attempt; nodes that share a machine have state directories, and so units, of their own."""
    place = "" if layout.state_dir == DEFAULT_STATE_DIR else f"-{zlib.crc32(layout.state_dir.encode()):08x}"
    return f"muster-{job}-{attempt}{place}.service"


def start(unit: str, description: str, grace_s: float, command: list[str]) -> None:
    """Start the command as a transient service. Raises AgentError."""
    code, output = _systemd_run(unit, description, grace_s, (*PROPERTIES, OOM_POLICY), command)
    if code and "OOMPolicy" in output:
        code, output = _systemd_run(unit, description, grace_s, PROPERTIES, command)
    if code:
        last = output.strip().rpartition("\n")[2]
        raise AgentError("systemd_refused", f"systemd-run could not start {unit}: {last}", "see the node's journal")


def active(unit: str) -> bool:
    """Whether the unit runs or is about to."""
    return state(unit) in ("active", "activating")


def state(unit: str) -> str:
    """Return what systemd says of a unit: active, activating, inactive, failed ..."""
    return _run(["systemctl", "is-active", unit])[1].strip()


def known(unit: str) -> bool:
    """Whether a unit of this name is installed."""
    return _run(["systemctl", "cat", unit])[0] == 0


def enabled(unit: str) -> bool:
    """Whether systemd starts it at boot."""
    return _run(["systemctl", "is-enabled", unit])[1].strip() == "enabled"


def command(verb: str, unit: str) -> str:
    """Have systemd do something with a unit, and wait for it; return what it says if it does not, else nothing."""
    code, output = _run(["systemctl", verb, unit])
    return "" if code == 0 else output.strip() or f"exit code {code}"


def reload() -> None:
    """Have systemd read its unit files again."""
    _run(["systemctl", "daemon-reload"])


def machine_stops() -> bool:
    """Whether systemd is about to shut the machine down, or to reboot it."""
    return _run(["systemctl", "is-system-running"])[1].strip() == "stopping"


def _systemd_run(
    unit: str, description: str, grace_s: float, properties: tuple[str, ...], command: list[str]
) -> tuple[int, str]:
    options = [f"--property={setting}" for setting in (*properties, f"TimeoutStopSec={int(grace_s) + 5}")]
    head = [
        "systemd-run",
        "--quiet",
        "--collect",
        "--no-ask-password",
        f"--unit={unit}",
        f"--description={description}",
    ]
    return _run([*head, *options, "--", *command])


def _run(command: list[str]) -> tuple[int, str]:
    """Return exit code and output; os.posix_spawn, because loading subprocess takes longer than most verbs."""
    reader, writer = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writer, 1),
        (os.POSIX_SPAWN_DUP2, writer, 2),
    ]
    try:
        # SIGTERM is held back: whoever ends our unit ends what we ask about it as well, before it has answered.
        # pylint: disable-next=ansible-bad-function  # the agent is no module
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setsigmask=[signal.SIGTERM])
    except OSError as error:
        os.close(reader)
        return 127, str(error)
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as file:
        output = file.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output


def agent_command(arguments: list[str]) -> list[str]:
    """Return the command line that runs this same agent again, from its file or from a checkout."""
    program = os.path.abspath(sys.argv[0])
    return [sys.executable or "python3", "-I", "-S", program, *arguments]
