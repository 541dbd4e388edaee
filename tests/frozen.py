# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file system that can be frozen: whoever writes to it waits in the kernel, and nothing ends that."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def missing() -> str | None:
    """What keeps this machine from having one."""
    return None if os.geteuid() == 0 else "only root may mount a file system and freeze it"


class Frozen:
    """A mounted file system."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.frozen = False

    @property
    def file(self) -> Path:
        return self.place / "file"

    def freeze(self) -> None:
        subprocess.run(["fsfreeze", "--freeze", self.place], check=True)
        self.frozen = True

    def thaw(self) -> None:
        if self.frozen:
            subprocess.run(["fsfreeze", "--unfreeze", self.place], check=True)
            self.frozen = False


@contextmanager
def mounted(directory: Path) -> Iterator[Frozen]:
    """One on a loop device; it is thawed and unmounted at the end."""
    image, place = directory / "image", directory / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    found = Frozen(place)
    try:
        yield found
    finally:
        found.thaw()
        subprocess.run(["umount", "--lazy", place], check=True)
