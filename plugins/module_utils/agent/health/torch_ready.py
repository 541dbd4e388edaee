# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether PyTorch works where the jobs run (check `torch.ready`): their interpreter imports it, it counts its devices,
and multiplies two small matrices on each, of which the product is known.

It takes memory of every GPU for a moment, so it waits until no job holds one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .. import accounts, environment, locks
from ..errors import AgentError
from ..layout import Layout
from . import programs
from .ask import Ask
from .result import CRITICAL, OK, SKIPPED, Result, Told
from .settings import Settings

TIMEOUT_S = 110.0
MARK = "MUSTER "
SUM = 529536  # of all elements of the square of the 8 x 8 matrix 0, 1, ... 63: exact in 32 bits
PROGRAM = f"""
import json
try:
    import torch
    count = torch.cuda.device_count()
    wrong = []
    for device in [f"cuda:{{number}}" for number in range(count)] or ["cpu"]:
        matrix = torch.arange(64, dtype=torch.float32, device=device).reshape(8, 8)
        if int((matrix @ matrix).sum().item()) != {SUM}:
            wrong.append(device)
    print("MUSTER", json.dumps({{"version": torch.__version__, "devices": count, "wrong": wrong}}), flush=True)
except Exception as error:
    print("MUSTER", json.dumps({{"error": f"{{type(error).__name__}}: {{error}}"[:500]}}), flush=True)
"""


def read(settings: Settings, doing: Callable[[str], None]) -> dict[str, Any]:
    """Return {"version", "devices", "wrong"} or {"error"}; {"skipped"} where no interpreter is named, {"later"} while a
    job runs."""
    wanted = settings.torch
    if wanted is None:
        return {"skipped": "no interpreter is named (muster_health.torch.python)"}
    if locks.holders(Layout(settings.state_dir)):
        return {"later": "a job holds GPUs of this node"}
    doing(wanted.python)
    try:
        account = accounts.for_job(wanted.user)
        command = [wanted.python, "-c", PROGRAM]
        code, output = programs.run(command, environment.base(account), TIMEOUT_S, account)
    except AgentError as error:
        return {"error": error.message}
    except OSError as error:
        return {"error": f"{wanted.python} cannot be run: {error.strerror}"}
    except programs.DidNotEnd:
        return {"error": f"it did not end within {TIMEOUT_S:g} s"}
    lines = output.splitlines()
    told = [line[len(MARK) :] for line in lines if line.startswith(MARK)]  # among the warnings of what it imports
    if not told:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return {"error": f"it {how}: {lines[-1][-300:] if lines else 'without a word'}"}
    if code != 0:
        return {"error": f"it ended with code {code} after it had answered"}
    answer: dict[str, Any] = json.loads(told[-1])
    return answer


def ready(facts: dict[str, Any], ask: Ask) -> list[Result]:
    if "later" in facts:
        return []
    if "skipped" in facts:
        return [Result(SKIPPED, facts["skipped"])]
    action = "run the interpreter by hand and import torch; install it anew, or name another one"
    if "error" in facts:
        return [Result(CRITICAL, f"PyTorch does not work: {facts['error']}", action)]
    wanted = None if ask.settings.torch is None else ask.settings.torch.devices
    wanted = ask.settings.expect.gpus if wanted is None else wanted
    told: Told = {"value": facts["devices"], "unit": "devices", "threshold": wanted}
    if facts["wrong"]:
        reason = f"PyTorch {facts['version']} computes wrongly on {', '.join(facts['wrong'])}"
        return [Result(CRITICAL, reason, "drain the node and have the device inspected", **told)]
    if wanted is not None and facts["devices"] < wanted:
        reason = f"PyTorch {facts['version']} sees {facts['devices']} of {wanted} GPUs"
        return [Result(CRITICAL, reason, "install a PyTorch that was built for this driver", **told)]
    if wanted is None and ask.settings.expect.gpus is None and not facts["devices"]:
        return [Result(OK, f"PyTorch {facts['version']} computes on the CPU", **told)]
    return [Result(OK, f"PyTorch {facts['version']} computes on {facts['devices'] or 'the CPU'}", **told)]
