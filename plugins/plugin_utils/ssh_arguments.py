# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments of the ssh command, as people give them to Ansible, put into the words of a Target."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

# Options that change nothing for a short command without a terminal, or that paramiko decides by itself.
_NO_MATTER = frozenset(
    (
        "batchmode",
        "challengeresponseauthentication",
        "compression",
        "connectionattempts",
        "controlmaster",
        "controlpath",
        "controlpersist",
        "forwardagent",
        "forwardx11",
        "gssapiauthentication",
        "kbdinteractiveauthentication",
        "loglevel",
        "passwordauthentication",
        "preferredauthentications",
        "pubkeyauthentication",
        "requesttty",
        "serveralivecountmax",
        "serveraliveinterval",
        "tcpkeepalive",
        "updatehostkeys",
    )
)
_NO_MATTER_FLAGS = frozenset("aCkqTx")
_OPTION_OF_FLAG = {"F": "configfile", "i": "identityfile", "J": "proxyjump", "l": "user", "p": "port"}


def understood(arguments: Sequence[str]) -> dict[str, Any] | None:
    """What ``ssh ARGUMENTS`` would change, as fields of a Target; None when an argument means anything else.

    Relative paths are taken from the current directory, as ssh does.
    """
    fields: dict[str, Any] = {}
    for name, value in _options(arguments):
        if name in _NO_MATTER:
            continue
        field = _field(name, value)
        if field is None:
            return None
        for key, given in field.items():
            if key == "key_files":
                fields[key] = (*fields.get(key, ()), *given)
            else:
                fields.setdefault(key, given)  # as in ssh, the first one counts
    return fields


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option in lower case, value) of each argument; a flag that is not known comes as its own name."""
    words = iter(arguments)
    for word in words:
        flag, rest = word[1:2], word[2:]
        if not word.startswith("-") or not flag:
            yield word, ""
        elif flag == "o":
            option = (rest or next(words, "")).strip()
            name = option.replace("=", " ", 1).split(None, 1)
            yield name[0].lower() if name else "", name[1].strip() if len(name) > 1 else ""
        elif flag in _OPTION_OF_FLAG:
            yield _OPTION_OF_FLAG[flag], rest or next(words, "")
        elif set(word[1:]) <= _NO_MATTER_FLAGS:
            continue
        else:
            yield word, ""


def _field(name: str, value: str) -> dict[str, Any] | None:
    lowered = value.lower()
    if name == "configfile":
        return {"ssh_config": value if value == "none" else _path(value)}
    if name == "identityfile":
        return {"key_files": (_path(value),)}
    if name == "identitiesonly" and lowered in ("yes", "no"):
        return {"identities_only": lowered == "yes"}
    if name == "proxyjump":
        return {"jump": value}
    if name == "proxycommand":
        jump = _jump_of(value)
        return {"jump": jump} if jump else None
    if name == "user":
        return {"user": value}
    if name == "port" and value.isdecimal():
        return {"port": int(value)}
    if name == "connecttimeout" and value.isdecimal():
        return {"connect_timeout_s": float(value)}
    if name == "userknownhostsfile":
        return {"known_hosts": tuple(_path(path) for path in value.split())}
    if name == "stricthostkeychecking" and lowered in ("yes", "ask", "accept-new", "no", "off"):
        return {"host_key_checking": {"ask": "yes", "off": "no"}.get(lowered, lowered)}
    return None


def _jump_of(command: str) -> str | None:
    """The jump host of the usual ``ssh -W %h:%p -q user@bastion``; None for any other ProxyCommand."""
    words = [word for word in shlex.split(command) if word != "-q"]
    if words[:1] != ["ssh"] or "-W" not in words[1:-1]:
        return None
    place = words.index("-W")
    if words[place + 1] not in ("%h:%p", "[%h]:%p"):
        return None
    rest = words[1:place] + words[place + 2 :]
    return rest[0] if len(rest) == 1 and not rest[0].startswith("-") else None


def _path(value: str) -> str:
    return os.path.abspath(os.path.expanduser(value.strip('"')))
