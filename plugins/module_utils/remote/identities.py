# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys are shown to a node, and in which order. Keys are loaded once and shared by all connections."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import paramiko

DEFAULT_KEY_FILES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


class KeyRing:
    """Private keys from files, each read and parsed once. Used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, paramiko.PKey | str] = {}

    def load(self, path: str) -> paramiko.PKey | str:
        """The key in a file, or in words why it cannot be used. A certificate beside it (-cert.pub) comes along."""
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = self._read(path)
            return self._loaded[path]

    def _read(self, path: str) -> paramiko.PKey | str:
        import paramiko
        from cryptography.exceptions import UnsupportedAlgorithm

        try:
            return paramiko.PKey.from_path(os.path.expanduser(path))
        except FileNotFoundError:
            return "there is no such file"
        except OSError as error:
            return str(error.strerror)
        except (TypeError, paramiko.PasswordRequiredException):
            # cryptography raises TypeError for an encrypted key without a passphrase.
            return "it needs a passphrase; add it to the ssh agent"
        except (ValueError, UnsupportedAlgorithm, paramiko.SSHException, paramiko.UnknownKeyType) as error:
            return f"it is not a key that paramiko reads ({error})"


class Identities:
    """Logs in with public keys, the way ``ssh`` does: the files named, else the usual ones, then the agent's keys.

    Named files come before the agent, whose unrelated keys would use up the server's MaxAuthTries. Passed to
    paramiko as an authentication strategy.
    """

    def __init__(self, ring: KeyRing, user: str, key_files: Sequence[str], use_agent: bool, only_named: bool) -> None:
        self._ring = ring
        self._user = user
        self._named = bool(key_files)
        self._key_files = key_files or DEFAULT_KEY_FILES
        self._use_agent = use_agent
        self._only_named = only_named

    def authenticate(self, transport: Any) -> None:
        """Try one key after the other until one is accepted.

        :raises paramiko.AuthenticationException: none was; the message says which were tried, and why others were not.
        """
        import paramiko

        tried: list[str] = []
        self._passed_over: list[str] = []
        agent = paramiko.Agent() if self._use_agent else None
        try:
            for label, key in self._candidates(agent):
                tried.append(label)
                try:
                    wanted_too = transport.auth_publickey(self._user, key)
                except paramiko.BadAuthenticationType as error:
                    raise paramiko.AuthenticationException(
                        f"it takes no keys, only {', '.join(error.allowed_types)}"
                    ) from error
                except (paramiko.SSHException, EOFError) as error:
                    if transport.is_active():
                        continue
                    raise paramiko.AuthenticationException(
                        f"it hung up after {_listed(tried)} (MaxAuthTries?)"
                    ) from error
                if wanted_too:
                    raise paramiko.AuthenticationException(f"beside the key it wants {', '.join(wanted_too)}")
                return
        finally:
            if agent is not None:
                agent.close()
        complaint = f"it accepts none of the keys tried ({_listed(tried)})" if tried else "there is no key to try"
        raise paramiko.AuthenticationException("; ".join([complaint, *self._passed_over]))

    def _candidates(self, agent: paramiko.Agent | None) -> Iterator[tuple[str, paramiko.PKey]]:
        in_agent = {key.asbytes(): key for key in agent.get_keys()} if agent is not None else {}
        for path in self._key_files:
            key = self._ring.load(path)
            if not isinstance(key, str):
                in_agent.pop(key.asbytes(), None)
                yield path, key
            elif held := in_agent.pop(_public_blob(path), None):
                yield f"{path} in the agent", held
            elif self._named:
                self._passed_over.append(f"{path}: {key}")
        if not self._only_named:
            for held in in_agent.values():
                yield f"{held.comment or held.get_name()} in the agent", held


def _public_blob(path: str) -> bytes:
    """The wire format of the public key beside a private key file, or nothing if there is none."""
    import binascii

    try:
        with open(os.path.expanduser(path) + ".pub", encoding="utf-8") as file:
            return binascii.a2b_base64(file.read().split()[1])
    except (OSError, IndexError, binascii.Error):
        return b""


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels)
