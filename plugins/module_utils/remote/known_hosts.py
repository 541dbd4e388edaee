# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host keys that the user trusts, as OpenSSH writes them down (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT")."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Verdict = Literal["known", "unknown", "changed", "revoked"]


@dataclass(frozen=True)
class HostKey:
    """One key: its type ("ssh-ed25519") and its public part in the wire format."""

    kind: str
    blob: bytes
    revoked: bool = False


class KnownHosts:
    """The entries of some known_hosts files. Read once, and asked by many threads.

    Keys of certificate authorities are left out, because paramiko cannot check host certificates: such a host is
    unknown here.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._by_name: dict[str, list[HostKey]] = {}
        self._by_hash: list[tuple[bytes, bytes, HostKey]] = []
        self._by_pattern: list[tuple[list[str], HostKey]] = []
        for line in lines:
            self._add(line)

    @classmethod
    def read(cls, paths: Iterable[str]) -> KnownHosts:
        """Read those of the files that exist.

        :raises OSError: a file exists, but cannot be read.
        """
        lines: list[str] = []
        for path in paths:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    lines.extend(file)
            except FileNotFoundError:
                continue
        return cls(lines)

    def keys_of(self, name: str) -> list[HostKey]:
        """All keys recorded for one name, which is "host", "[host]:port" or a HostKeyAlias."""
        name = name.lower()
        keys = list(self._by_name.get(name, ()))
        keys += [key for salt, digest, key in self._by_hash if hmac.digest(salt, name.encode(), hashlib.sha1) == digest]
        keys += [key for patterns, key in self._by_pattern if _matches(name, patterns)]
        return keys

    def verdict(self, name: str, kind: str, blob: bytes) -> Verdict:
        """What the files say about the key that a host has shown under this name."""
        keys = self.keys_of(name)
        if any(key.revoked and key.blob == blob for key in keys):
            return "revoked"
        trusted = [key for key in keys if not key.revoked]
        if any(key.blob == blob for key in trusted):
            return "known"
        return "changed" if any(key.kind == kind for key in trusted) else "unknown"

    def remember(self, path: str, name: str, kind: str, blob: bytes) -> None:
        """Trust a key from now on, and write it down in the file at ``path``."""
        line = f"{name} {kind} {base64.b64encode(blob).decode()}\n"
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
        self._add(line)

    def _add(self, line: str) -> None:
        words = line.split()
        if not words or words[0].startswith("#"):
            return
        marker = words.pop(0) if words[0].startswith("@") else None
        if marker not in (None, "@revoked") or len(words) < 3:
            return
        try:
            key = HostKey(words[1], base64.b64decode(words[2]), revoked=marker == "@revoked")
            if words[0].startswith("|1|"):
                salt, digest = words[0].split("|")[2:]
                self._by_hash.append((base64.b64decode(salt), base64.b64decode(digest), key))
                return
        except (binascii.Error, ValueError):
            return  # OpenSSH too passes over a line that it cannot read
        patterns = words[0].lower().split(",")
        if any(character in words[0] for character in "*?!"):
            self._by_pattern.append((patterns, key))
            return
        for name in patterns:
            self._by_name.setdefault(name, []).append(key)


def _matches(name: str, patterns: list[str]) -> bool:
    """``*`` and ``?`` are wild; a pattern after ``!`` that matches takes the name out, whatever else matches."""
    found = False
    for pattern in patterns:
        # fnmatch would read "[host]:2222" as a set of characters.
        if fnmatchcase(name, pattern.lstrip("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            found = True
    return found
