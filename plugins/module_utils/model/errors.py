# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything Muster refuses or fails at, as one family: a sentence for the user, and a hint of what to do."""

from __future__ import annotations


class MusterError(Exception):
    """A failure told in one sentence. Doors translate it once, at their edge, and show no traceback."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidInput(MusterError):
    """What the user gave is wrong in itself; nothing was changed."""


class NotFound(MusterError):
    """The thing that was named does not exist."""


class InvalidTransition(MusterError):
    """A job cannot go from the state that it is in to the one asked for."""


class StaleEpoch(MusterError):
    """The caller speaks for an attempt that is no longer the current one."""


class InUse(MusterError):
    """The thing holds a lease, so that it cannot be removed or changed like this."""


class NoCapacity(MusterError):
    """The job does not fit. ``permanent``: not even an idle cluster would hold it, so that waiting is in vain."""

    def __init__(self, message: str, hint: str = "", *, permanent: bool) -> None:
        super().__init__(message, hint)
        self.permanent = permanent


class StoreError(MusterError):
    """State cannot be read or written; it was left as it is."""


class Damaged(StoreError):
    """A file of the state is not as it was written. It is kept as it is; what can be told from the rest is used."""


class Conflict(MusterError):
    """The document has changed since the caller read it; nothing was changed."""
