# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the cluster's variables say of a node's health: the file agent.json, written by the role `monitor`.

The controller validates with the same function what it is about to send. Every key may be left out.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .. import accounts
from ..errors import BAD_SPEC, AgentError
from ..layout import Layout
from .model import Pace, Policy
from .result import CRITICAL, OK, WARNING

KERNEL_LOG = "/dev/kmsg"
OWN_CHECKS = "/etc/muster/checks.d"
TARGET = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s\[\]]+):([0-9]{1,5})")

Make = Callable[[Any], Any]


class Expect(NamedTuple):
    """What the node is to have; None: nobody has said so. `gpus`: how many, 0 for a node without."""

    gpus: int | None = None
    driver: str | None = None
    vbios: str | None = None
    persistence: bool | None = None
    ecc_mode: bool | None = None
    mig: bool | None = None
    nvlinks: int | None = None
    pcie_width: int | None = None

    def modes(self) -> dict[str, Any]:
        """Return the settings of GPUs that are asked for."""
        keys = ("vbios", "persistence", "ecc_mode", "mig")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}


class Torch(NamedTuple):
    """`python`: the interpreter of the jobs. `user`: whose rights it gets; as for a job, if None. `devices`: how many
    it must see; as many as there are GPUs, if None."""

    python: str
    user: str | None = None
    devices: int | None = None


class Settings(NamedTuple):
    """All of it, with its defaults. `links`: device -> the least speed in Gb/s, or None. `xid`: status -> codes that
    are to count so. `checks`: name -> what is different for this check."""

    node: str | None = None
    state_dir: str = ""
    pace: Pace = Pace()
    expect: Expect = Expect()
    disks: tuple[str, ...] = ("/",)
    targets: tuple[str, ...] = ()
    links: Mapping[str, float | None] = {}
    services: tuple[str, ...] = ()
    torch: Torch | None = None
    own_checks: str = OWN_CHECKS
    kernel_log: str = KERNEL_LOG
    xid: Mapping[str, frozenset[int]] = {}
    checks: Mapping[str, Mapping[str, Any]] = {}
    prometheus: str | None = None
    alert_command: tuple[str, ...] = ()
    alert_url: str | None = None


def load(layout: Layout, known: Mapping[str, Any]) -> Settings:
    """Return the settings of the node with this state directory. Raises AgentError (exit code 65)."""
    try:
        with open(layout.settings, "rb") as file:
            if accounts.others_may_write(os.fstat(file.fileno())):
                raise _bad(f"others than root may write to {layout.settings}, which says what root is to run")
            text = file.read()
    except FileNotFoundError:
        text = b"{}"
    except OSError as error:
        raise _bad(f"{layout.settings} cannot be read: {error.strerror}") from None
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _bad(f"{layout.settings} is not JSON ({error})") from None
    return parse(document, known, layout.state_dir)


def parse(document: Any, known: Mapping[str, Any], state_dir: str = "") -> Settings:
    """Return the settings that a document asks for; `known` are all checks by name, with their usual thresholds. Raises
    AgentError that names every fault."""
    faults: list[str] = []
    told = _fields(document, "", KEYS, faults)
    pace = Pace(**{to: told.pop(key) for key, to in PACE.items() if key in told})
    if not pace.hurry_s <= pace.base_s:
        faults.append(f"hurry_s ({pace.hurry_s:g}) must not be more than interval_s ({pace.base_s:g})")
    for name in told.get("checks", {}):
        if name not in known and not name.startswith("own."):
            faults.append(f"checks.{name}: there is no such check (there are {', '.join(sorted(known))})")
        faults += _thresholds(name, told["checks"][name], known.get(name))
    if faults:
        raise _bad("; ".join(faults))
    disks = (*told.pop("disks", ("/",)), *([state_dir] if state_dir else []))
    return Settings(**{**told, "pace": pace, "disks": tuple(dict.fromkeys(disks)), "state_dir": state_dir})


def _thresholds(name: str, said: Mapping[str, Any], usual: Any) -> list[str]:
    """What is wrong with the thresholds of a check. Which of them is to be the greater one, its usual ones tell."""
    given = [key for key in ("warning", "critical") if said.get(key) is not None]
    if given and (usual is None or usual.warning is usual.critical is None):
        return [f"checks.{name}.{given[0]}: this check has no thresholds"]
    if usual is None or usual.warning is None or usual.critical is None or usual.warning == usual.critical:
        return []
    warning, critical = said.get("warning", usual.warning), said.get("critical", usual.critical)
    falls = usual.warning > usual.critical
    if warning is None or critical is None or not (warning < critical if falls else warning > critical):
        return []
    relation = "less" if falls else "more"
    return [f"checks.{name}: warning ({warning:g}) must not be {relation} than critical ({critical:g})"]


def policy(settings: Settings, name: str, usual: Policy) -> Policy:
    """Return how a check counts: as it usually does, but for what the settings say."""
    said = settings.checks.get(name, {})
    return usual._replace(**{key: said[key] for key in Policy._fields if key in said})


def _fields(document: Any, where: str, keys: Mapping[str, Make], faults: list[str]) -> dict[str, Any]:
    if not isinstance(document, dict):
        faults.append(f"{where or 'it'} must be an object, not {document!r}")
        return {}
    made = {}
    for key, value in document.items():
        name = f"{where}.{key}" if where else str(key)
        if key not in keys:
            faults.append(f"{name}: there is no such key (there are {', '.join(keys)})")
            continue
        try:
            made[key] = keys[key](value)
        except _Faults as error:
            faults += [f"{name}.{fault}" for fault in error.all]
        except ValueError as error:
            faults.append(f"{name} must be {error}, not {value!r}")
    return made


class _Faults(ValueError):
    """Several, inside of one value."""

    def __init__(self, all_of_them: list[str]) -> None:
        super().__init__("; ".join(all_of_them))
        self.all = all_of_them


def _object(keys: Mapping[str, Make], build: Make) -> Make:
    def make(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("an object")
        faults: list[str] = []
        made = _fields(value, "", keys, faults)
        if faults:
            raise _Faults(faults)
        try:
            return build(made)
        except TypeError:
            raise ValueError(f"an object with {next(iter(keys))}") from None

    return make


def _mapping(key_of: Make, value_of: Make) -> Make:
    def make(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("an object")
        made, faults = {}, []
        for key, one in value.items():
            try:
                made[key_of(key)] = value_of(one)
            except _Faults as error:
                faults += [f"{key}.{fault}" for fault in error.all]
            except ValueError as error:
                faults.append(f"{key} must be {error}, not {one!r}")
        if faults:
            raise _Faults(faults)
        return made

    return make


def _several(one: Make) -> Make:
    def make(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("a list")
        return tuple(one(item) for item in value)

    return make


def _or_none(one: Make) -> Make:
    return lambda value: None if value is None else one(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value


def _path(value: Any) -> str:
    if not os.path.isabs(_text(value)):
        raise ValueError("an absolute path")
    return str(value)


def _target(value: Any) -> str:
    match = TARGET.fullmatch(_text(value))
    if not match or not 0 < int(match[2]) < 65536:
        raise ValueError("HOST:PORT")
    return str(value)


def _url(value: Any) -> str:
    if not re.match(r"https?://[^/\s]", _text(value)):
        raise ValueError("an http or https URL")
    return str(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a whole number, 0 or more")
    return value


def _at_least_one(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("a whole number, 1 or more")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("a number")
    return value


def _seconds(value: Any) -> float:
    if _number(value) < 1:
        raise ValueError("1 second or more")
    return float(value)


def _weight(value: Any) -> float:
    if _number(value) < 0:
        raise ValueError("0 or more")
    return float(value)


PACE = {"interval_s": "base_s", "hurry_s": "hurry_s", "calm_s": "calm_s", "stuck_s": "stuck_s"}
EXPECT: dict[str, Make] = {
    "gpus": _or_none(_count),
    "driver": _or_none(_text),
    "vbios": _or_none(_text),
    "persistence": _or_none(_truth),
    "ecc_mode": _or_none(_truth),
    "mig": _or_none(_truth),
    "nvlinks": _or_none(_count),
    "pcie_width": _or_none(_count),
}
CHECK: dict[str, Make] = {
    "enabled": _truth,
    "warning": _or_none(_number),
    "critical": _or_none(_number),
    "weight": _weight,
    "vital": _truth,
    "latch": _truth,
    "fail_after": _at_least_one,
    "recover_after": _at_least_one,
}
TORCH: dict[str, Make] = {"python": _path, "user": _or_none(_text), "devices": _or_none(_count)}
XID: dict[str, Make] = {key: _several(_count) for key in ("critical", "warning", "ignored")}
XID_STATUS = {"critical": CRITICAL, "warning": WARNING, "ignored": OK}
KEYS: dict[str, Make] = {
    "node": _or_none(_text),
    **dict.fromkeys(PACE, _seconds),
    "expect": _object(EXPECT, lambda made: Expect(**made)),
    "disks": _several(_path),
    "targets": _several(_target),
    "links": _mapping(_text, _or_none(_weight)),
    "services": _several(_text),
    "torch": _or_none(_object(TORCH, lambda made: Torch(**made))),
    "own_checks": _path,
    "kernel_log": _path,
    "xid": _object(XID, lambda made: {XID_STATUS[key]: frozenset(codes) for key, codes in made.items()}),
    "checks": _mapping(_text, _object(CHECK, dict)),
    "prometheus": _or_none(_path),
    "alert_command": _several(_text),
    "alert_url": _or_none(_url),
}


def _bad(fault: str) -> AgentError:
    return AgentError(
        "bad_settings",
        f"the settings of the node's health are wrong: {fault}",
        "correct them, and run monitor.yml",
        BAD_SPEC,
    )
