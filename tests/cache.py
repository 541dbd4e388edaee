# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests need and is dear to make is made once a machine and kept outside the checkout."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muster-lab"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The directory `name` of the cache. `make` fills it, at its first use, and only one process at a time does.

    The name must change with whatever goes into it: put a digest there. What fails halfway is not kept.
    """
    place = CACHE / name
    if place.is_dir():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            for abandoned in CACHE.glob(f"{name}.*.partial"):
                shutil.rmtree(abandoned)
            partial = Path(tempfile.mkdtemp(prefix=f"{name}.", suffix=".partial", dir=CACHE))
            partial.chmod(0o755)
            make(partial)
            partial.rename(place)
    return place
