# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node: Debian with systemd and sshd in systemd-nspawn, on a small disk of its own over the shared layers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from .cgroup import Cgroup
from .command import LabError, call, wait_until
from .network import NAMESPACES, Network
from .process import Process

BOOT_TIMEOUT_S = 240.0
HALT, REBOOT = signal.SIGRTMIN + 3, signal.SIGRTMIN + 5  # what systemd as PID 1 takes them for

# With --keep-unit, nspawn does not start a rebooting node again but exits with 133.
RUN = 'while :; do "$@"; [ $? -eq 133 ] || exit; done'


class Node:
    """A node. Its `directory` holds `disk` (a tmpfs), `root` (what the node sees as /), host key and console.log."""

    def __init__(self, name: str, address: str, directory: Path, network: Network, cgroup: Cgroup) -> None:
        self.name = name
        self.address = address
        self.directory = directory
        self.network = network
        self.cgroup = cgroup
        self.root = directory / "root"
        self.host_key = directory / "ssh_host_ed25519_key"
        self._runner: subprocess.Popen[bytes] | None = None

    def make_disk(self, layers: Sequence[Path], size_mib: int) -> None:
        """Give it an empty disk of `size_mib` over the read-only `layers` (topmost first). It must not be running."""
        disk = self.directory / "disk"
        self.remove_disk()
        for directory in (disk, self.root):
            directory.mkdir(parents=True, exist_ok=True)
        if not self.host_key.exists():
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{self.name}", "-f", self.host_key)
        call("mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=755", f"muster-{self.name}", disk)
        for directory in (disk / "upper", disk / "work"):
            directory.mkdir()
        lower = ":".join(str(layer) for layer in layers)
        call(
            *("mount", "-t", "overlay", f"muster-{self.name}", self.root),
            *("-o", f"lowerdir={lower},upperdir={disk}/upper,workdir={disk}/work"),
        )
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        self.install_host_key()

    def install_host_key(self) -> bool:
        """Put the host key that the lab's known_hosts names in its place; whether another one or none was there."""
        place = self.root / "etc/ssh" / self.host_key.name
        if place.exists() and place.read_text() == self.host_key.read_text():
            return False
        place.write_text(self.host_key.read_text())
        place.chmod(0o600)
        return True

    def remove_disk(self) -> None:
        """Unmount what `make_disk` mounted, and so forget everything that the node wrote."""
        for directory in (self.root, self.directory / "disk"):
            if os.path.ismount(directory):
                call("umount", "--lazy", directory)

    def start(self, binds: Mapping[str, Path]) -> None:
        """Power on and wait until sshd answers. `binds`: path in the node -> read-only directory of the host."""
        if self.runner():
            raise LabError(f"{self.name} is running")
        nspawn = [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--kill-signal={HALT}"),
            *(f"--directory={self.root}", f"--machine={self.name}", f"--hostname={self.name}"),
            f"--network-namespace-path={NAMESPACES / self.network.namespace(self.name)}",
            *("--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--notify-ready=no"),
            *(f"--bind-ro={host}:{place}" for place, host in binds.items()),
            "/lab/init",
        ]
        with open(self.directory / "console.log", "ab") as console:
            self._runner = subprocess.Popen(
                ["/bin/sh", "-c", RUN, "sh", *self.cgroup.make().command(*nspawn)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_LOG_LEVEL": "warning"},
            )
        runner = Process.of(self._runner.pid)
        if runner:
            (self.directory / "runner").write_text(f"{runner.pid} {runner.start_ticks}")
        self.wait_for_ssh()

    def runner(self) -> Process | None:
        """The shell that runs nspawn, and runs it again when the node reboots; None while the node is powered off."""
        try:
            pid, ticks = (self.directory / "runner").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        runner = Process(int(pid), int(ticks))
        return runner if runner.alive() else None

    def leader(self) -> Process | None:
        """The node's PID 1 as this machine sees it; None while it is powered off."""
        for pid in self.cgroup.pids():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            names = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(names) == 2 and names[1] == "1":
                return Process.of(pid)
        return None

    def wait_for_ssh(self) -> None:
        """Return when sshd greets. Raises LabError, with the console's end, if the node dies or takes too long."""

        def greets() -> bool:
            try:
                with socket.create_connection((self.address, 22), timeout=1) as connection:
                    return connection.recv(4) == b"SSH-"
            except OSError:
                if not self.runner():
                    console = (self.directory / "console.log").read_text(errors="replace")
                    raise LabError(f"{self.name} died while booting: {console[-2000:]}") from None
                return False

        with self.network.enter():
            wait_until(greets, BOOT_TIMEOUT_S, f"sshd on {self.name}", poll_s=0.05)

    def kill(self) -> None:
        """End everything in it at once, as a power loss does (for peers that must not notice, unplug it first)."""
        # Not only nspawn: after its SIGKILL the node's systemd can go on running.
        self.cgroup.kill()
        self._wait_for_end(10)

    def halt(self) -> None:
        """Shut down in order."""
        leader = self.leader()
        if leader:
            os.kill(leader.pid, HALT)
        self._wait_for_end(120)

    def reboot(self) -> None:
        """Reboot in order and wait until sshd answers again."""
        before = self.leader()
        if not before:
            raise LabError(f"{self.name} is not running")
        os.kill(before.pid, REBOOT)
        wait_until(lambda: self.leader() not in (before, None) or not self.runner(), 120, f"the reboot of {self.name}")
        self.wait_for_ssh()

    def command(self, *argv: object, user: str = "root") -> list[str]:
        """The command that runs `argv` in the node as `user`, without ssh and whatever its network is like."""
        leader = self.leader()
        if not leader:
            raise LabError(f"{self.name} is not running")
        if user != "root":
            argv = ("runuser", "-u", user, "--", *argv)
        environment = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
        enter = ("nsenter", f"--target={leader.pid}", "--all", "--", *environment, *argv)
        return self.cgroup.child("exec").make().command(*enter)

    def _wait_for_end(self, timeout_s: float) -> None:
        wait_until(lambda: not self.runner() and not self.cgroup.pids(), timeout_s, f"the end of {self.name}")
        if self._runner:
            self._runner.wait()
