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


class AgentError(Exception):
    """Something a person can act on: a code for programs, one sentence and a hint for people, and the exit code."""

    def __init__(self, code: str, message: str, hint: str = "", exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
