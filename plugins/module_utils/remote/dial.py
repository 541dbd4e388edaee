# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening SSH connections with Fabric: the user's ssh configuration, known hosts, keys and jump hosts, honoured."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .identities import Identities, KeyRing
from .known_hosts import KnownHosts
from .ssh_config import read_ssh_config
from .target import Target
from .transport import Unreachable

if TYPE_CHECKING:
    import fabric
    import paramiko

SSH_PORT = 22
KEEPALIVE_S = 15
USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

# Without a handler Python would print what paramiko logs, tracebacks too, beside the sentence that the user gets.
_UNHEARD = logging.NullHandler()

Value = TypeVar("Value")


def preload() -> None:
    """Import Fabric now (0.2 s), so that processes forked from this one need not.

    :raises ImportError: Fabric is not installed.
    """
    import fabric  # noqa: F401  # pylint: disable=unused-import  # the import is what is wanted

    logging.getLogger("paramiko").addHandler(_UNHEARD)


class Dialer:
    """Opens connections to nodes. What they have in common is read once and shared by all threads: configuration files,
    known hosts, keys, and the connections to jump hosts, of which there is one each, however many nodes lie behind it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._ring = KeyRing()
        self._ssh_configs: dict[str | None, paramiko.SSHConfig] = {}
        self._known_hosts: dict[tuple[str, ...], KnownHosts] = {}
        self._jump_locks: dict[tuple[Target, ...], threading.Lock] = {}
        self._jumps: dict[tuple[Target, ...], fabric.Connection] = {}

    def dial(self, target: Target) -> fabric.Connection:
        """An open, authenticated connection.

        :raises Unreachable: there is none, and the message says why.
        """
        _need_fabric(target)
        connection = self._prepare(target)
        hops = self._hops(target, connection)
        if hops:
            connection.gateway = self._jump(target, hops)
        elif connection.ssh_config.get("proxycommand"):
            connection.gateway = self._proxy_command(target)
        self._open(target, connection)
        return connection

    def host_of(self, target: Target) -> str:
        """The name or address that a target stands for, after HostName of the ssh configuration.

        :raises Unreachable: the ssh configuration cannot be read, or Fabric is missing.
        """
        _need_fabric(target)
        return str(self._prepare(target).host)

    def close(self) -> None:
        """Close the connections to jump hosts."""
        with self._lock:
            jumps, self._jumps = list(self._jumps.values()), {}
        for connection in reversed(jumps):
            connection.close()

    def _prepare(self, target: Target) -> fabric.Connection:
        import fabric

        connection = fabric.Connection(
            target.dialed,
            user=target.user,
            port=target.port,
            config=self._config(target),
            # Fabric would open the gateways of ssh_config itself, without a look at their host keys.
            gateway=False,
            forward_agent=False,
            connect_timeout=max(1, round(target.connect_timeout_s)),
        )
        options = connection.ssh_config
        only_named = target.identities_only or options.get("identitiesonly", "no") == "yes"
        named = [path for path in (*target.key_files, *options.get("identityfile", ())) if path != "none"]
        connection.connect_kwargs = {
            "auth_strategy": Identities(
                self._ring, connection.user, named, options.get("identityagent") != "none", only_named
            ),
            "transport_factory": partial(_transport, self._trusted(target, connection)),
            "banner_timeout": target.connect_timeout_s,
            "auth_timeout": target.connect_timeout_s,
        }
        connection.client.set_missing_host_key_policy(_HostKeyCheck(partial(self._check, target, connection)))
        return connection

    def _open(self, target: Target, connection: fabric.Connection) -> None:
        import paramiko

        node = _described(target, connection)
        try:
            connection.open()
        except Unreachable:
            connection.client.close()
            raise
        except paramiko.AuthenticationException as error:
            connection.client.close()
            raise Unreachable(
                f"cannot log in to {node} as {connection.user}: {error}. Put your public key into "
                f"{connection.user}'s authorized_keys there, or name the right private key file",
                "auth",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            connection.client.close()
            raise Unreachable(f"{node} {_explained(error, target.connect_timeout_s)}") from error
        connection.transport.set_keepalive(KEEPALIVE_S)

    def _config(self, target: Target) -> fabric.Config:
        """Fabric's configuration over the ssh configuration files; those of Fabric itself are not read.

        A new one for each connection: a connection writes into its own, and is empty for others while it does (0.1 ms).
        """
        import fabric
        import paramiko

        try:
            ssh_config = self._once(self._ssh_configs, target.ssh_config, lambda: read_ssh_config(target.ssh_config))
        except (OSError, paramiko.ConfigParseError) as error:
            raise Unreachable(
                f"{target.name} cannot be reached: the ssh configuration {target.ssh_config or '~/.ssh/config'} "
                f"cannot be read: {error}",
                "setup",
            ) from error
        return fabric.Config(ssh_config=ssh_config, lazy=True)

    def _hops(self, target: Target, connection: fabric.Connection) -> tuple[Target, ...]:
        """The jump hosts on the way, first the one that is connected to directly.

        As with ``ssh -J``, they share the node's ssh configuration file, but not its keys, its known hosts or its
        user. The jump hosts that a jump host itself may have in that file are not looked up.
        """
        jump = target.jump or connection.ssh_config.get("proxyjump", "none")
        if jump == "none":
            return ()
        hops = []
        for hop in jump.split(","):
            user, place = (["", *hop.strip().removeprefix("ssh://").rsplit("@", 1)])[-2:]
            # An address with more than one colon is IPv6, and cannot name a port.
            host, port = place.split(":") if place.count(":") == 1 else (place, "")
            hops.append(
                Target(
                    host,
                    port=int(port) if port else None,
                    user=user or None,
                    ssh_config=target.ssh_config,
                    jump="none",
                    connect_timeout_s=target.connect_timeout_s,
                )
            )
        return tuple(hops)

    def _proxy_command(self, target: Target) -> str:
        """ProxyCommand with its tokens replaced. As with ssh, the user's shell is not asked for, but there is one."""
        # %p and %r stand for the target's own port and user, which the files do not know.
        config = read_ssh_config(target.ssh_config, {"Port": target.port, "User": target.user})
        return f"/bin/sh -c {shlex.quote('exec ' + config.lookup(target.dialed)['proxycommand'])}"

    def _jump(self, target: Target, hops: tuple[Target, ...]) -> fabric.Connection:
        """The open connection to the last of the hops, made if need be."""
        with self._lock:
            lock = self._jump_locks.setdefault(hops, threading.Lock())
        with lock:
            connection = self._jumps.get(hops)
            if connection is not None and connection.is_connected:
                return connection
            connection = self._prepare(hops[-1])
            try:
                if len(hops) > 1:
                    connection.gateway = self._jump(target, hops[:-1])
                self._open(hops[-1], connection)
            except Unreachable as error:
                raise Unreachable(f"{target.name} lies behind a jump host: {error}", error.failure) from error
            self._jumps[hops] = connection
            return connection

    def _known(self, target: Target, connection: fabric.Connection) -> tuple[tuple[str, ...], KnownHosts]:
        options = connection.ssh_config
        user_files = target.known_hosts or tuple(options.get("userknownhostsfile", "").split()) or USER_KNOWN_HOSTS
        system_files = tuple(options.get("globalknownhostsfile", "").split()) or SYSTEM_KNOWN_HOSTS
        paths = tuple(os.path.expanduser(path.strip('"')) for path in (*user_files, *system_files))
        try:
            return paths, self._once(self._known_hosts, paths, lambda: KnownHosts.read(paths))
        except OSError as error:
            raise Unreachable(
                f"{target.name} cannot be checked: {error.filename} cannot be read ({error.strerror})", "setup"
            ) from error

    def _trusted(self, target: Target, connection: fabric.Connection) -> list[str]:
        """The types of the keys known of this host: asked for first, since a host may have keys of other types too."""
        known = self._known(target, connection)[1]
        return [key.kind for name in _recorded_names(connection) for key in known.keys_of(name)]

    def _check(self, target: Target, connection: fabric.Connection, key: paramiko.PKey) -> None:
        checking = target.host_key_checking or connection.ssh_config.get("stricthostkeychecking", "ask")
        if checking in ("no", "off"):
            return
        paths, known = self._known(target, connection)
        names = _recorded_names(connection)
        verdicts = [known.verdict(name, key.get_name(), key.asbytes()) for name in names]
        node = _described(target, connection)
        if "revoked" in verdicts:
            raise Unreachable(f"the host key of {node} is marked as revoked in {paths[0]}", "host_key")
        if "known" in verdicts:
            return
        if "changed" in verdicts:
            raise Unreachable(
                f"the host key of {node} is not the one in {paths[0]}: the node was reinstalled, or something else "
                f"answers in its place. If you know why, remove the old key with: ssh-keygen -R '{names[0]}'",
                "host_key",
            )
        if checking != "accept-new":
            raise Unreachable(
                f"the host key of {node} is not in {paths[0]}: log in once with ssh and compare the fingerprint, or "
                "collect the keys of all nodes with ssh-keyscan",
                "host_key",
            )
        with self._lock:
            known.remember(paths[0], names[0], key.get_name(), key.asbytes())

    def _once(self, kept: dict[Any, Value], key: Any, make: Callable[[], Value]) -> Value:
        with self._lock:
            if key not in kept:
                kept[key] = make()
            return kept[key]


def _need_fabric(target: Target) -> None:
    try:
        preload()
    except ImportError as error:
        raise Unreachable(
            f"{target.name} cannot be reached: Fabric is missing on this machine (pip install fabric): {error}",
            "setup",
        ) from error


class _HostKeyCheck:
    """Paramiko's hook for a host that it does not know. It is given no known hosts, so it asks about every one."""

    def __init__(self, check: Callable[[Any], None]) -> None:
        self._check = check

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        self._check(key)


def _transport(trusted_kinds: list[str], sock: Any, **options: Any) -> paramiko.Transport:
    import paramiko

    if isinstance(sock, socket.socket):
        # Paramiko leaves Nagle's algorithm on: its small packets would wait for the node's delayed acknowledgements.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(sock, **options)
    security = transport.get_security_options()
    wanted = {*trusted_kinds, *(("rsa-sha2-512", "rsa-sha2-256") if "ssh-rsa" in trusted_kinds else ())}
    security.key_types = sorted(security.key_types, key=lambda kind: kind not in wanted)
    return transport


def _recorded_names(connection: fabric.Connection) -> list[str]:
    """The names under which known_hosts may hold the host. As in OpenSSH, "host" stands for any port of it."""
    if alias := connection.ssh_config.get("hostkeyalias"):
        return [alias]
    if connection.port == SSH_PORT:
        return [connection.host]
    return [f"[{connection.host}]:{connection.port}", connection.host]


def _described(target: Target, connection: fabric.Connection) -> str:
    """ "n3 (10.0.0.3:22)": what the user calls the node, and where it was looked for."""
    return f"{target.name} ({connection.host}:{connection.port})"


def _explained(error: BaseException, timeout_s: float) -> str:
    """The rest of a sentence that begins with the node."""
    import paramiko

    numbers = {getattr(error, "errno", None)}
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        numbers = {cause.errno for cause in error.errors.values()}
    if errno.ECONNREFUSED in numbers:
        return "refused the connection: is sshd running there, and on this port?"
    if numbers & {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return "cannot be reached: there is no route to it. Is the node up, and its address right?"
    if isinstance(error, socket.gaierror):
        return f"cannot be found: the name does not resolve ({error.strerror}). Set ansible_host or HostName"
    if isinstance(error, TimeoutError):
        return f"does not answer: no connection within {timeout_s:g} s. Is it up, and does a firewall drop the packets?"
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return f"speaks no SSH that paramiko supports: {error}"
    if isinstance(error, paramiko.ChannelException):
        return f"cannot be reached from its jump host: {error.text}"
    # The second is what paramiko says when the whole time is over before the time for the banner is.
    if "banner" in str(error) or "No existing session" in str(error):
        return f"took the connection but did not answer as an SSH server within {timeout_s:g} s"
    return f"broke off the connection while it was being set up: {str(error) or type(error).__name__}"
