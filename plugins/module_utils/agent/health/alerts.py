# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told of a confirmed change, and how often it has come: one alert a check and thing, not one a sample."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Collection
from typing import Any

from .. import accounts, environment
from . import programs
from .result import CRITICAL, OK, SEVERITY, WARNING
from .settings import Settings
from .watch import Change

Document = dict[str, Any]

KEPT = 500
DELIVER_S = 30.0
AGAIN_AFTER_BOOTS = 2
INSPECT = "it came back after {} reboots: have the hardware inspected"


def enter(book: dict[str, Document], changes: list[Change], *, boot_id: str, at: str) -> list[Document]:
    """Enter changes into the book of alerts (`check|entity` -> alert), and return those to be told.

    An alert begins when a fault is confirmed and ends when its check is well again; if it comes back it is the same
    one, counted. The first confirmation that all is well is no news.
    """
    told = []
    for change in changes:
        key = f"{change.check}|{change.result.entity}"
        alert = book.get(key)
        fault = change.after in (WARNING, CRITICAL)
        if not fault and (alert is None or not alert["active"]):
            continue
        if alert is None:
            alert = {"first_seen": at, "count": 0, "boots": []}
        boots = alert["boots"]
        if fault and boot_id not in boots:
            boots = [*boots, boot_id][-10:]
        action = change.result.action
        if change.after == CRITICAL and len(boots) > AGAIN_AFTER_BOOTS:
            action = INSPECT.format(len(boots) - 1)
        rises = fault and not alert.get("active")
        alert = {
            **alert,
            "check": change.check,
            "entity": change.result.entity,
            "label": change.result.label,
            "status": change.after,
            "active": fault,
            "reason": change.result.reason,
            "action": action if fault else "",
            "last_seen": at,
            "count": alert["count"] + rises,
            "boots": boots,
        }
        book[key] = alert
        told.append(alert)
    for key in sorted(book, key=lambda key: (book[key]["active"], book[key]["last_seen"]))[: max(0, len(book) - KEPT)]:
        del book[key]
    return told


def read(document: Document | None) -> dict[str, Document]:
    """Return the book of alerts as it was written, without what is none."""
    needed = {"active", "first_seen", "last_seen", "count", "boots", "status", "check", "entity", "label"}
    return {
        key: alert
        for key, alert in (document or {}).items()
        if isinstance(alert, dict) and needed <= alert.keys() and alert["status"] in SEVERITY
    }


def end(book: dict[str, Document], known: Collection[str], *, at: str) -> list[Document]:
    """End the alerts of what is not among the `known` (`check|entity`): it is not looked at any more. Return them."""
    over = [key for key, alert in book.items() if alert["active"] and key not in known]
    for key in over:
        told = {"active": False, "status": OK, "action": "", "reason": "it is not looked at any more", "last_seen": at}
        book[key] = {**book[key], **told}
    return [book[key] for key in over]


def active(book: dict[str, Document]) -> list[Document]:
    """Return the alerts that stand, worst first."""
    found = [alert for alert in book.values() if alert["active"]]
    return sorted(found, key=lambda alert: (-SEVERITY[alert["status"]], alert["first_seen"]))


def deliver(settings: Settings, alerts: list[Document], doing: Callable[[str], None]) -> list[str]:
    """Give the alerts to the command and to the URL that the settings name; return what went wrong, as sentences."""
    document = json.dumps({"node": settings.node, "alerts": alerts})
    problems = []
    if settings.alert_command:
        doing(settings.alert_command[0])
        env = {**environment.base(accounts.current()), "MUSTER_ALERTS": document, "MUSTER_NODE": settings.node or ""}
        try:
            if accounts.others_may_write(os.stat(settings.alert_command[0])):
                raise PermissionError(errno.EPERM, "others than root may write to it")
            code, output = programs.run(settings.alert_command, env, DELIVER_S)
            if code:
                problems.append(f"the alert command ended with code {code}: {output[-200:]}")
        except OSError as error:
            problems.append(f"the alert command cannot be run: {error.strerror}")
        except programs.DidNotEnd:
            problems.append(f"the alert command did not end within {DELIVER_S:g} s")
    if settings.alert_url:
        import urllib.request  # 3 MiB that only who delivers needs, and not the monitor

        doing(settings.alert_url)
        headers = {"Content-Type": "application/json", "User-Agent": "muster-agent"}
        request = urllib.request.Request(settings.alert_url, document.encode(), headers)  # noqa: S310  # http(s) only
        try:
            urllib.request.build_opener().open(request, timeout=DELIVER_S).close()
        except (OSError, ValueError) as error:
            problems.append(f"the alert URL was not reached: {error}")
    return problems
