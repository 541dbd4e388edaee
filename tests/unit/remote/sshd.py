# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real OpenSSH server on a free port of the loopback interface, with keys and a configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("ed25519", "ecdsa", "rsa")
NOISE = "Welcome to the cluster!"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def missing() -> str | None:
    """Why there can be no server here, in one sentence; None if there can."""
    if SSHD is None or shutil.which("ssh-keygen") is None:
        return "these tests need sshd and ssh-keygen (Debian: openssh-server, openssh-client)"
    return None


@dataclass(frozen=True)
class Sshd:
    """The server, and the user's side of it: `key` is accepted, `noisy_key` too, but prints a greeting first."""

    directory: Path
    port: int

    address = "127.0.0.1"
    user = getpass.getuser()

    @property
    def key(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def noisy_key(self) -> Path:
        return self.directory / "id_noisy"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def host_key(self, kind: str = "ed25519") -> str:
        """The public host key of a kind, as it stands in known_hosts after the name."""
        return " ".join((self.directory / f"host_{kind}.pub").read_text().split()[:2])

    def fields(self, **others: Any) -> dict[str, Any]:
        """The fields of a Target that gets in."""
        return {
            "name": "n1",
            "host": self.address,
            "port": self.port,
            "user": self.user,
            "key_files": (str(self.key),),
            "known_hosts": (str(self.known_hosts),),
            "ssh_config": "none",
            **others,
        }

    def logins(self) -> int:
        """How often somebody has logged in so far."""
        return (self.directory / "log").read_text().count("Accepted publickey")


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new key pair."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@contextmanager
def running(directory: Path) -> Iterator[Sshd]:
    """The server, while the context lasts."""
    for kind in KINDS:
        keygen(directory / f"host_{kind}", kind)
    server = Sshd(directory, _free_port())
    keygen(server.key)
    keygen(server.noisy_key)
    noise = f'command="echo {NOISE}; eval \\"$SSH_ORIGINAL_COMMAND\\"" '
    authorized = server.key.with_suffix(".pub").read_text() + noise + server.noisy_key.with_suffix(".pub").read_text()
    (directory / "authorized_keys").write_text(authorized)
    server.known_hosts.write_text(f"[{server.address}]:{server.port} {server.host_key()}\n")
    host_keys = "".join(f"HostKey {directory / f'host_{kind}'}\n" for kind in KINDS)
    (directory / "sshd_config").write_text(
        f"ListenAddress {server.address}:{server.port}\n{host_keys}"
        f"AuthorizedKeysFile {directory / 'authorized_keys'}\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nMaxStartups 200\nMaxAuthTries 4\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, started as root, wants to separate its privileges
    log = directory / "log"
    command = [str(SSHD), "-D", "-f", str(directory / "sshd_config"), "-E", str(log)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not (log.exists() and "Server listening" in log.read_text()):
            assert process.poll() is None, f"sshd ended: {log.read_text() if log.exists() else ''}"
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
