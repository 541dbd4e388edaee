# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's ssh configuration, as far as paramiko's reader lets it be honoured: with Include, which it lacks."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko

USER_CONFIG = "~/.ssh/config"
SYSTEM_CONFIG = "/etc/ssh/ssh_config"
DEEPEST_INCLUDE = 16  # READCONF_MAX_DEPTH in OpenSSH's readconf.c

_BLOCK = re.compile(r"\s*(host|match)[\s=]", re.IGNORECASE)
_INCLUDE = re.compile(r"\s*include[\s=]+(.+?)\s*$", re.IGNORECASE)


def read_ssh_config(path: str | None, given: Mapping[str, object] | None = None) -> paramiko.SSHConfig:
    """Read the file of ``ssh -F`` ("none": nothing at all), or else the user's configuration and the system's.

    :param given: options that come before those of the files, as if they were on ssh's command line.
    :raises OSError: the file of -F cannot be read.
    :raises paramiko.ConfigParseError: a line is not understood.
    """
    import paramiko

    lines = [f"{option} {value}\n" for option, value in (given or {}).items() if value is not None]
    if path is None:
        for default in (USER_CONFIG, SYSTEM_CONFIG):
            if os.path.isfile(os.path.expanduser(default)):
                lines += ["Host *\n", *_expanded(os.path.expanduser(default))]
    elif path != "none":
        lines += ["Host *\n", *_expanded(os.path.expanduser(path))]
    config = paramiko.SSHConfig()
    config.parse(lines)
    return config


def _expanded(path: str, depth: int = 0) -> Iterator[str]:
    """The lines of a file, each Include replaced by the lines of the files that it names.

    An Include within a Host block ends at the end of that block, so the block's header is repeated after it.
    """
    base = "/etc/ssh" if path.startswith("/etc/ssh/") else os.path.expanduser("~/.ssh")
    header = "Host *\n"
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if include := _INCLUDE.match(line):
                if depth < DEEPEST_INCLUDE:
                    for pattern in include.group(1).split():
                        wanted = os.path.join(base, os.path.expanduser(pattern.strip('"')))
                        for included in sorted(glob.glob(wanted)):
                            yield from _expanded(included, depth + 1)
                            yield "\n"
                    yield header
                continue
            if _BLOCK.match(line):
                header = line
            yield line
