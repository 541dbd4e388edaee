# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's own checks (`own.FILE`): every executable in a directory, by the exit codes of Nagios plugins.

0 OK, 1 WARNING, 2 CRITICAL, anything else UNKNOWN; the first line of its output is the reason, up to a `|`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .. import accounts, environment
from . import programs
from .ask import Ask
from .result import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Result, Told
from .settings import Settings

EACH_S = 30.0
STATUS_OF = {0: OK, 1: WARNING, 2: CRITICAL}


def read(settings: Settings, doing: Callable[[str], None]) -> dict[str, Any]:
    """Return {"error", "found": {file: {"code", "output"} or {"refused"}}}."""
    found: dict[str, Any] = {}
    try:
        names = sorted(os.listdir(settings.own_checks))
    except FileNotFoundError:
        names = []
    except OSError as error:
        return {"error": f"cannot be read: {error.strerror or error}", "found": {}}
    if names and accounts.others_may_write(os.stat(settings.own_checks)):
        return {"error": "is not used, for others than root may write to it", "found": {}}
    env = environment.base(accounts.current())
    for name in names:
        path = os.path.join(settings.own_checks, name)
        if name.startswith(".") or not os.path.isfile(path):
            continue
        if not os.access(path, os.X_OK) and not _is_program(path):  # a README beside the checks
            continue
        doing(path)
        found[name] = _outcome(path, env)
    return {"error": None, "found": found}


def _outcome(path: str, env: dict[str, str]) -> dict[str, Any]:
    if accounts.others_may_write(os.stat(path)):
        return {"refused": "others than root may write to it, and it would run as root"}
    if not os.access(path, os.X_OK):
        return {"refused": "it is not executable"}
    try:
        code, output = programs.run([path], env, EACH_S)
    except OSError as error:
        return {"refused": f"it cannot be run: {error.strerror}"}
    except programs.DidNotEnd:
        return {"refused": f"it did not end within {EACH_S:g} s"}
    return {"code": code, "output": output.partition("\n")[0].partition("|")[0].strip()}


def _is_program(path: str) -> bool:
    """Whether a file could be run if it were executable; one that cannot be read is taken for one."""
    try:
        with open(path, "rb") as file:
            return file.read(2) in (b"#!", b"\x7fE")
    except OSError:
        return True


def own(facts: dict[str, Any], ask: Ask) -> list[Result]:
    directory = ask.settings.own_checks
    if facts["error"]:
        return [Result(UNKNOWN, f"{directory} {facts['error']}", "correct its rights")]
    if not facts["found"]:
        return [Result(SKIPPED, f"there is no check of your own in {directory}")]
    results = []
    for name, one in facts["found"].items():
        told: Told = {"entity": name, "label": name}
        if "refused" in one:
            reason = f"the check {name} was not made: {one['refused']}"
            results.append(Result(UNKNOWN, reason, f"correct {os.path.join(directory, name)}", **told))
            continue
        status = STATUS_OF.get(one["code"], UNKNOWN)
        reason = one["output"] or f"{name} ended with code {one['code']} without a word"
        action = "" if status == OK else f"see what {os.path.join(directory, name)} looks at"
        results.append(Result(status, reason, action, value=one["code"], **told))
    return results
