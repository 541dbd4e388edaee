# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an imported file comes from, and how what it says is to be taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...model import InvalidInput, iso
from ...model.times import UTC


@dataclass(frozen=True)
class Origin:
    """``name``: what messages call the file; ``who`` imports it, at ``now``; ``zone``: that of times that say none,
    None for this machine's own."""

    name: str
    now: datetime
    who: str
    zone: tzinfo | None = None

    def fault(self, place: str, what: str) -> InvalidInput:
        """The refusal of what is at ``place`` in the file."""
        return InvalidInput(f"{self.name}: {place}: {what}")

    def utc(self, text: object, place: str, remarks: list[str]) -> str:
        """An ISO 8601 time as the state keeps it; remarks on one that the change of clocks makes doubtful."""
        try:
            given = datetime.fromisoformat(text)  # type: ignore[arg-type]  # what is no text is a TypeError
            if given.tzinfo is not None:
                return iso(given)
            found, other = (iso(given.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)) for fold in (0, 1))
        except (TypeError, ValueError, OverflowError, OSError):
            raise self.fault(place, f"must be a time in ISO 8601, not {text!r:.60}") from None
        if found != other:
            remarks.append(f"{place}: {text} was twice or never on that clock: {found} is taken, not {other}")
        return found

    def zone_of(self, *texts: str | None) -> str | None:
        """The name of the zone that was needed to read these times; None if all of them say theirs."""
        if all(text is None or datetime.fromisoformat(text).tzinfo is not None for text in texts):
            return None
        return str(self.zone) if self.zone else "local"


def zone_named(name: str | None) -> tzinfo | None:
    """The time zone of this name (say ``Europe/Berlin``); None, which is this machine's own, for None."""
    if name is None:
        return None
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(f"{name!r} is no time zone", "give a name like Europe/Berlin, or UTC") from None
