# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When each node was last seen, or a launch that follows a job: the time of a file beside the state, one for each.

Ten thousand heartbeats every ten seconds would be 27 GB of journal a day, for nothing that anybody decides on later. A
file's time costs no flush and no lock, and is lost without harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

from ..model import iso, parse
from ..model.times import UTC
from .files import give_to_owner, make_directory, said_of

DIRECTORY = "liveness"
_MARK = "@"
"""In front of every name, so that no node can be called ``..``."""
_TOO_LONG = "#"
"""In front of the digest of a name that no file can have; the file says the name."""
_LONGEST = 255
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def contacts(place: Path, name: str | None = None) -> dict[str, str]:
    """Node name -> ISO 8601, of all that were ever seen, or of this one if it was."""
    found = {}
    with said_of(place / DIRECTORY, "read"), contextlib.suppress(FileNotFoundError):
        if name is not None:
            return {name: _time(os.stat(_file(place, name)).st_mtime_ns)}
        for entry in list(os.scandir(place / DIRECTORY)):
            with contextlib.suppress(FileNotFoundError):
                found[_name(entry)] = _time(entry.stat().st_mtime_ns)
    return found


def mark(place: Path) -> int:
    """Another number after each contact that was noted."""
    try:
        return os.stat(place / DIRECTORY).st_mtime_ns
    except OSError:
        return 0


def contacted(place: Path, seen: Mapping[str, str]) -> None:
    """Note that these nodes were seen (name -> ISO 8601); an older time never replaces a newer one."""
    with said_of(place / DIRECTORY, "written"):
        make_directory(place)
        if not os.path.isdir(place / DIRECTORY):
            (place / DIRECTORY).mkdir(mode=0o700, exist_ok=True)
            give_to_owner(place / DIRECTORY, place)
        for name, at in seen.items():
            file, time_ns = _file(place, name), (parse(at) - _EPOCH) // timedelta(microseconds=1) * 1000
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                status = os.fstat(handle)
                if status.st_size == 0:
                    give_to_owner(handle, place / DIRECTORY)
                    os.pwrite(handle, name.encode(errors="surrogateescape"), 0)
                if status.st_size == 0 or status.st_mtime_ns < time_ns:
                    os.utime(handle, ns=(time_ns, time_ns))
            finally:
                os.close(handle)
        os.utime(place / DIRECTORY)


def forget(place: Path, name: str) -> None:
    """Forget when this was seen."""
    with said_of(place / DIRECTORY, "written"), contextlib.suppress(FileNotFoundError):
        os.unlink(_file(place, name))


def forget_first_schema(place: Path) -> None:
    """Remove the file that held these times before schema 2."""
    for name in ("liveness.json", "liveness.lock"):
        with contextlib.suppress(OSError):
            (place / name).unlink()


def _file(place: Path, name: str) -> Path:
    quoted = _MARK + quote(name, safe="")
    digest = hashlib.sha256(quoted.encode()).hexdigest()
    return place / DIRECTORY / (quoted if len(quoted) <= _LONGEST else _TOO_LONG + digest)


def _name(entry: os.DirEntry[str]) -> str:
    if entry.name.startswith(_TOO_LONG):
        return Path(entry.path).read_bytes().decode(errors="surrogateescape")
    return unquote(entry.name.removeprefix(_MARK))


def _time(time_ns: int) -> str:
    return iso(_EPOCH + timedelta(microseconds=time_ns // 1000))
