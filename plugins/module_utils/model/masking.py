# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets never reach the state: a variable that looks like one is kept by name only.

Better one harmless value too many than one password: whoever launches a job still has the real ones.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

SECRET = "********"

_NAME = re.compile(
    r"TOKEN(?!IZ)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(^|_)PASS$|_PWD$|(API|ACCESS|PRIVATE|AUTH)_?KEY|_KEY$",
    re.IGNORECASE,
)
"""HF_TOKEN, WANDB_API_KEY, PGPASSWORD, but not TOKENIZERS_PARALLELISM, nor the shell's PWD."""

_SHORTEST = 4
"""A shorter value stands in a command by chance."""

_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def masked(env: Mapping[str, str], marked: Collection[str] = ()) -> dict[str, str]:
    """``env`` with the values of secrets replaced by :data:`SECRET`: those ``marked``, and what looks like one by its
    name or as a URL."""
    return {key: SECRET if value and key in marked or _is_secret(key, value) else value for key, value in env.items()}


def exposed(command: Iterable[str], env: Mapping[str, str], marked: Collection[str] = ()) -> str | None:
    """What secret stands in a command, which is kept as it is and shown by ``ps``; None if there is none."""
    hidden = masked(env, marked)
    for word in command:
        if _PASSWORD_IN_URL.search(word):
            return "a URL with a password"
        for key, value in env.items():
            if SECRET == hidden[key] != value and len(value) >= _SHORTEST and value in word:
                return f"the value of {key}"
    return None


def _is_secret(key: str, value: str) -> bool:
    return bool(value) and bool(_NAME.search(key) or _PASSWORD_IN_URL.search(value))
