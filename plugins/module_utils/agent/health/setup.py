# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the node's monitor what the cluster's variables say: its settings, its unit, and that it runs."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from .. import accounts, files, processes, units
from ..errors import BAD_SPEC, AgentError
from ..layout import Layout
from . import latest, service, unit
from .catalogue import BY_NAME
from .settings import parse

Document = dict[str, Any]


def apply(layout: Layout, text: bytes) -> Document:
    """Make it so. `text` is JSON: {"settings": {...}, "dry_run": whether to say only what would be changed}.

    Returns what `service.act` does, with `changes` (in words) and `diff` ([{"path", "before", "after"}]). What is as it
    is to be is left alone: the second time nothing changes. Raises AgentError; for wrong settings before anything was
    changed.
    """
    try:
        asked = json.loads(text)
        settings, dry_run = asked["settings"], bool(asked.get("dry_run"))
    except (ValueError, KeyError, TypeError):
        raise AgentError("usage", "settings are expected on stdin, as JSON", "run monitor.yml", BAD_SPEC) from None
    prometheus = parse(settings, BY_NAME, layout.state_dir).prometheus
    wanted = {layout.settings: json.dumps(settings, indent=2, sort_keys=True) + "\n"}
    if unit.wanted():
        wanted[unit.path_of(layout)] = unit.text_of(layout, prometheus)
    diff = [one for one in (_difference(path, new) for path, new in wanted.items()) if one]
    written = {one["path"] for one in diff}
    if not dry_run:
        for path in written:
            _write(path, wanted[path])
    changes = []
    if unit.path_of(layout) in written:
        changes.append("its unit is written")
    if layout.settings in written:
        changes.append("its settings are written")
    changes += _run_it(layout, written, dry_run)
    return {**service.act(layout, "status"), "changed": bool(changes), "changes": changes, "diff": diff}


def remove(layout: Layout, dry_run: bool) -> Document:
    """Stop the monitor and take away its unit and settings. What it has seen stays."""
    changes = ["it is stopped"] if latest.running(layout) else []
    if not dry_run:
        service.act(layout, "stop")
    there = [path for path in (unit.path_of(layout), layout.settings) if os.path.exists(path)]
    if there and not dry_run:
        if unit.path_of(layout) in there and unit.wanted():
            units.command("disable", unit.name_of(layout))
        for path in there:
            os.unlink(path)
        if unit.wanted():
            units.reload()
            units.command("reset-failed", unit.name_of(layout))
    changes += [f"{path} is removed" for path in there]
    return {**service.act(layout, "status"), "changed": bool(changes), "changes": changes, "diff": []}


def _run_it(layout: Layout, written: set[str], dry_run: bool) -> list[str]:
    changes = []
    name, running = unit.name_of(layout), latest.running(layout)
    if unit.wanted():
        if unit.path_of(layout) in written and not dry_run:
            units.reload()
        if not units.enabled(name):
            changes.append("it is enabled at boot")
            if not dry_run:
                _or_error(units.command("enable", name), name)
    if running is None:
        changes.append("it is started")
        if not dry_run:
            service.act(layout, "start")
    elif unit.path_of(layout) in written:
        changes.append("it is restarted")
        if not dry_run:
            service.act(layout, "restart")
    elif layout.settings in written and not dry_run:
        process = processes.read(running["pid"])
        if process:
            processes.send(process, signal.SIGHUP)
    return changes


def _or_error(said: str, name: str) -> None:
    if said:
        raise AgentError("systemd_refused", f"systemctl enable {name}: {said}", "see the node's journal")


def _difference(path: str, new: str) -> Document | None:
    try:
        with open(path) as file:
            before = file.read()
            exposed = accounts.others_may_write(os.fstat(file.fileno()))
    except FileNotFoundError:
        before, exposed = "", False
    except OSError as error:
        raise _forbidden(path, error) from None
    return {"path": path, "before": before, "after": new} if before != new or exposed else None


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        files.replace(path, text)
    except OSError as error:
        raise _forbidden(path, error) from None


def _forbidden(path: str, error: OSError) -> AgentError:
    hint = "let the play be root (become: true), or set muster_state_dir to a directory of the agent's user"
    return AgentError("state_dir", f"{path} cannot be written: {error.strerror}", hint)
