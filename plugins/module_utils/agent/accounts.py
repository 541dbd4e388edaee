# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose rights the ranks get."""

from __future__ import annotations

import os
import pwd

from .errors import AgentError

DEFAULT_USER = "muster"
OTHERS_MAY_WRITE = 0o022


class Account:
    """A user as the system knows it; `switch` says whether a process of ours must still become it."""

    def __init__(self, entry: pwd.struct_passwd, switch: bool) -> None:
        self.name = entry.pw_name
        self.uid = entry.pw_uid
        self.gid = entry.pw_gid
        self.home = entry.pw_dir or "/"
        self.shell = entry.pw_shell or "/bin/sh"
        self.switch = switch

    def become(self) -> None:
        """Give up every right but this user's, for good. Raises OSError."""
        if self.switch:
            os.setgroups(os.getgrouplist(self.name, self.gid))
            os.setgid(self.gid)
            os.setuid(self.uid)


def others_may_write(facts: os.stat_result) -> bool:
    """Whether somebody else decides what is in a file, or a directory, by which root would act."""
    return os.geteuid() == 0 and (facts.st_uid != 0 or bool(facts.st_mode & OTHERS_MAY_WRITE))


def current() -> Account:
    """Return the user whom this process runs as, known to the system or not (containers)."""
    uid = os.geteuid()
    try:
        return Account(pwd.getpwuid(uid), switch=False)
    except KeyError:
        home = os.environ.get("HOME", "/")
        return Account(pwd.struct_passwd((str(uid), "x", uid, os.getegid(), "", home, "/bin/sh")), switch=False)


def for_job(wanted: str | None) -> Account:
    """Return the user for a job that asked for `wanted`.

    An agent that is root never runs a job as root unless it is asked for by name. Raises AgentError with the codes
    `user_unknown`, `user_forbidden`, `would_run_as_root`.
    """
    me = current()
    if wanted is None and me.uid != 0:
        return me
    try:
        entry = pwd.getpwnam(wanted or DEFAULT_USER)
    except KeyError:
        if wanted is None:
            message = f"the agent is root here, there is no user {DEFAULT_USER!r}, and a job never runs as root unasked"
            raise AgentError("would_run_as_root", message) from None
        raise AgentError("user_unknown", f"there is no user {wanted!r}") from None
    if me.uid != 0 and entry.pw_uid != me.uid:
        message = f"the agent runs as {me.name!r} and may not start processes as {wanted!r}"
        raise AgentError("user_forbidden", message)
    return Account(entry, switch=entry.pw_uid != me.uid)
