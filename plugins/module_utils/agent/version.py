# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which agent this is: the collection's version and, in the packed file, a digest of what was packed."""

from __future__ import annotations

import functools
import os

PROTOCOL = 1
COLLECTION_VERSION = "0.1.0"
VERSION_FILE = "VERSION"


@functools.cache
def version() -> str:
    """Return `0.1.0+<8 hex>` as `package.build` wrote it, or `0.1.0+source` when run from a checkout."""
    path = os.path.join(os.path.dirname(os.path.dirname(__file__)), VERSION_FILE)
    try:
        return str(__loader__.get_data(path).decode())  # type: ignore[name-defined]
    except OSError:
        return COLLECTION_VERSION + "+source"
