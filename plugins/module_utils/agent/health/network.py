# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast others answer (check `net.latency`)."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

from .ask import Ask
from .result import CRITICAL, OK, SKIPPED, Result, Told, at_least
from .settings import Settings

TRIES = 5
TRY_S = 1.0
MILLISECONDS = 1000.0


def read(settings: Settings, doing: Callable[[str], None]) -> dict[str, Any]:
    """Return {"targets": {"host:port": {"milliseconds": [...], "failed": how many, "error"}}}: of TCP connections,
    which need no rights as a ping does."""
    return {"targets": {target: _reach(target, doing) for target in settings.targets}}


def _reach(target: str, doing: Callable[[str], None]) -> dict[str, Any]:
    host, _colon, port = target.rpartition(":")
    doing(target)
    times: list[float] = []
    error = ""
    for _try in range(TRIES):
        begun = time.perf_counter()
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=TRY_S):
                pass
        except ConnectionRefusedError:  # an answer as well, and as fast
            pass
        except OSError as failure:
            error = failure.strerror or str(failure)
            continue
        times.append(round((time.perf_counter() - begun) * MILLISECONDS, 3))
    return {"milliseconds": times, "failed": TRIES - len(times), "error": error}


def latency(facts: dict[str, Any], ask: Ask) -> list[Result]:
    """The median of five; the first design asked for 100 ms at most."""
    if not facts["targets"]:
        return [Result(SKIPPED, "nobody is named whose answer could be waited for")]
    found = []
    for target, one in facts["targets"].items():
        told: Told = {"entity": target, "label": target, "unit": "ms"}
        if one["failed"] > TRIES // 2:
            reason = f"{one['failed']} of {TRIES} connections to {target} failed: {one['error']}"
            found.append(Result(CRITICAL, reason, "look at the link, the switch and the firewall", **told))
            continue
        value = round(statistics.median(one["milliseconds"]), 3)
        status, threshold = at_least(value, ask.warning, ask.critical)
        reason = f"{target} answers in {value:g} ms"
        action = "" if status == OK else "look at the link and at what else uses it"
        found.append(Result(status, reason, action, value=value, threshold=threshold, **told))
    return found
