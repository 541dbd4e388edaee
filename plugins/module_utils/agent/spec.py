# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node's part of a job, as the rank plan made it: read and checked by hand, because nodes have no pydantic."""

from __future__ import annotations

import json
import re

from .errors import BAD_SPEC, AgentError
from .version import PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

FILE_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9:/_-]{0,127}")

HANG_SIGNALS = ("SIGUSR1", "SIGUSR2")

REQUIRED = ("protocol", "job", "name", "attempt", "epoch", "node", "node_rank", "processes", "gate")
OPTIONAL: Document = {
    "lineage": None,
    "cwd": None,
    "user": None,
    "grace_s": 10,
    "time_limit_s": None,
    "hang_timeout_s": None,
    "hang_signal": None,
    "max_log_mib": 256,
    "interface": None,
    "link_port": None,
    "addresses": {},
    "preflight": True,
    "gpus": [],
    "slots": [],
    "secrets": [],
}


def parse(text: bytes) -> Document:
    """Return the spec with its defaults filled in. Raises AgentError (exit code 65) with what is wrong and where."""
    try:
        spec = json.loads(text)
    except ValueError as error:
        raise _bad(f"it is not JSON ({error})") from None
    _object(spec, "it", REQUIRED, tuple(OPTIONAL))
    if spec["protocol"] != PROTOCOL:
        raise _bad(f"protocol is {spec['protocol']!r} and this agent speaks {PROTOCOL}")
    spec = {**OPTIONAL, **spec}
    _text(spec, "job", pattern=FILE_SAFE)
    for key in ("name", "node"):
        _text(spec, key)
    _integer(spec, "attempt", 1)
    _integer(spec, "epoch", 0)
    _integer(spec, "node_rank", 0)
    for key in ("lineage", "cwd", "user", "interface"):
        if spec[key] is not None:
            _text(spec, key)
    if spec["cwd"] is not None and not spec["cwd"].startswith("/"):
        raise _bad(f"cwd must be an absolute path, not {spec['cwd']!r}")
    _seconds(spec, "grace_s")
    for key in ("time_limit_s", "hang_timeout_s"):
        if spec[key] is not None:
            _seconds(spec, key)
    if spec["hang_signal"] not in (None, *HANG_SIGNALS):
        raise _bad(f"hang_signal must be {' or '.join(HANG_SIGNALS)}, not {spec['hang_signal']!r}")
    _integer(spec, "max_log_mib", 1)
    if spec["link_port"] is not None:
        _port(spec, "link_port")
    if not isinstance(spec["preflight"], bool):
        raise _bad(f"preflight must be true or false, not {spec['preflight']!r}")
    _list(spec, "gpus", str)
    for uuid in spec["gpus"]:
        if not GPU.fullmatch(uuid):
            raise _bad(f"{uuid!r} is not the uuid of a GPU")
    _list(spec, "slots", int)
    _list(spec, "secrets", str)
    _processes(spec)
    _gate(spec)
    return spec


def _processes(spec: Document) -> None:
    _list(spec, "processes", dict)
    if not spec["processes"]:
        raise _bad("processes is empty: there is nothing to start")
    for number, process in enumerate(spec["processes"]):
        where = f"processes[{number}]."
        _object(process, where[:-1], ("rank", "local_rank", "command", "env"), ())
        _integer(process, "rank", 0, where)
        _integer(process, "local_rank", 0, where)
        _list(process, "command", str, where)
        if not process["command"] or any("\0" in word for word in process["command"]):
            raise _bad(f"{where}command must be a list with at least one word, without NUL characters")
        _environment(process["env"], where + "env")
    ranks = [process["rank"] for process in spec["processes"]]
    if len(set(ranks)) < len(ranks):
        raise _bad("two processes have the same rank")


def _environment(env: object, where: str) -> None:
    if not isinstance(env, dict):
        raise _bad(f"{where} must be an object")
    for name, value in env.items():
        if not name or "=" in name or "\0" in name:
            raise _bad(f"{where}: {name!r} cannot be the name of a variable")
        if not isinstance(value, str) or "\0" in value:
            raise _bad(f"{where}.{name} must be a string without NUL characters")


def _gate(spec: Document) -> None:
    gate = spec["gate"]
    _object(gate, "gate", ("node", "address", "port", "nodes", "token", "timeout_s"), ())
    for key in ("node", "address", "token"):
        _text(gate, key, "gate.")
    _port(gate, "port", "gate.")
    _list(gate, "nodes", str, "gate.")
    _seconds(gate, "timeout_s", "gate.")
    for node in (gate["node"], spec["node"]):
        if node not in gate["nodes"]:
            raise _bad(f"gate.nodes does not name {node!r}")
    addresses = spec["addresses"]
    if not isinstance(addresses, dict) or not all(isinstance(item, str) for item in addresses.values()):
        raise _bad("addresses must be an object of strings")
    for node in gate["nodes"] if len(gate["nodes"]) > 1 else []:
        if node not in addresses:
            raise _bad(f"addresses lacks {node!r}")


def _object(value: object, where: str, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    if not isinstance(value, dict):
        raise _bad(f"{where} must be an object")
    missing = [key for key in required if key not in value]
    if missing:
        raise _bad(f"{where} lacks {', '.join(missing)}")
    unknown = sorted(set(value) - set(required) - set(optional))
    if unknown:
        raise _bad(f"{where} has unknown keys: {', '.join(unknown)}")


def _text(holder: Document, key: str, where: str = "", pattern: re.Pattern[str] | None = None) -> None:
    value = holder[key]
    if not isinstance(value, str) or not value or "\0" in value:
        raise _bad(f"{where}{key} must be a string that is not empty, not {value!r}")
    if pattern and not pattern.fullmatch(value):
        raise _bad(f"{where}{key} may have letters, digits, - and _ only, not {value!r}")


def _integer(holder: Document, key: str, least: int, where: str = "") -> None:
    value = holder[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise _bad(f"{where}{key} must be a whole number of at least {least}, not {value!r}")


def _port(holder: Document, key: str, where: str = "") -> None:
    _integer(holder, key, 1, where)
    if holder[key] > 65535:
        raise _bad(f"{where}{key} must be at most 65535, not {holder[key]}")


def _seconds(holder: Document, key: str, where: str = "") -> None:
    value = holder[key]
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1e9:
        raise _bad(f"{where}{key} must be a number of seconds, not {value!r}")


def _list(holder: Document, key: str, kind: type, where: str = "") -> None:
    value = holder[key]
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        names = {str: "strings", int: "whole numbers", dict: "objects"}
        raise _bad(f"{where}{key} must be a list of {names[kind]}")


def _bad(what: str) -> AgentError:
    return AgentError(
        "spec_invalid",
        f"the start spec is wrong: {what}",
        "this is made by Muster itself: please report it",
        BAD_SPEC,
    )
