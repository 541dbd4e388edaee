# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands over one of Ansible's connection plugins, in the words of the library's transports."""

from __future__ import annotations

import contextvars
import queue
import re
import shlex
import threading
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

from ..module_utils.remote import Reply, Transport

_display = Display()

SHOWN = 500
"""How many characters of Ansible's own error are shown."""
_ESCALATED = re.compile(rb"\A\s*BECOME-SUCCESS-\w+\r?\n")


class AnsibleTransport:
    """A connection plugin as a transport.

    What Ansible's plugins cannot do: ``on_stdout`` gets the output in one piece, at the end; and a command that is not
    done in time goes on, though nobody waits for it.
    """

    def __init__(self, name: str, connection: ConnectionBase, executable: str | None) -> None:
        """
        :param connection: with its options and its become plugin set.
        :param executable: the shell that Ansible would use there ("/bin/sh").
        """
        self.name = name
        self._connection = connection
        self._executable = executable
        self._kind = f"ansible ({connection.transport})"

    def run(
        self,
        command: str,
        stdin: bytes = b"",
        timeout_s: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """As in ``Transport``."""
        answer: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()

        def execute() -> None:
            try:
                answer.put(self._execute(command, stdin))
            except Exception as error:
                answer.put(error)

        # Warnings and templating live in context variables, which a thread does not inherit.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(execute,), daemon=True).start()
        try:
            reply = answer.get(timeout=timeout_s)
        except queue.Empty:
            sentence = f"{self.name} did not answer within {timeout_s:g} s"
            return Reply(self.name, error=sentence, failure="timeout", transport=self._kind)
        if isinstance(reply, Exception):
            raise reply
        if on_stdout is not None and reply.stdout:
            on_stdout(reply.stdout)
        return reply

    def close(self) -> None:
        """As in ``Transport``."""
        self._connection.close()

    def _execute(self, command: str, stdin: bytes) -> Reply:
        # Without input Ansible's ssh plugin would allocate a terminal, which mangles what comes back.
        whole = command if stdin else f"{{ {command}; }} </dev/null"
        become = self._connection.become
        try:
            if become is not None:
                whole = become.build_become_command(whole, self._connection._shell)
            if self._executable and self._connection.allow_executable:
                whole = f"{self._executable} -c {shlex.quote(whole)}"
            code, stdout, stderr = self._connection.exec_command(whole, in_data=stdin or b"\n", sudoable=bool(become))
        except AnsibleAuthenticationFailure as error:
            return self._failed(error, "auth")
        except AnsibleConnectionFailure as error:
            return self._failed(error, "unreachable")
        except AnsibleError as error:
            return self._failed(error, "setup")
        return Reply(self.name, code, _ESCALATED.sub(b"", stdout), stderr, transport=self._kind)

    def _failed(self, error: AnsibleError, failure: Any) -> Reply:
        told = " ".join(str(error).split())[:SHOWN]
        sentence = f"{self.name} cannot be reached over Ansible's connection {self._connection.transport}: {told}"
        return Reply(self.name, error=sentence, failure=failure, transport=self._kind)


class PlainThenAnsible:
    """Fabric, and Ansible's ssh for the rest of the run when Fabric cannot log in though OpenSSH may be able to
    (security keys, host certificates, options of ssh_config that paramiko lacks).
    """

    def __init__(self, plain: Transport, ansible: Callable[[], Transport]) -> None:
        self.name = plain.name
        self._transport = plain
        self._ansible: Callable[[], Transport] | None = ansible

    def run(
        self,
        command: str,
        stdin: bytes = b"",
        timeout_s: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """As in ``Transport``. When neither gets in, the reply is Fabric's, whose sentence says more."""
        reply = self._transport.run(command, stdin, timeout_s, on_stdout)
        if self._ansible is None or reply.failure not in ("auth", "host_key", "setup"):
            return reply
        _display.vvv(f"Fabric does not get in, so Ansible's ssh is tried: {reply.error}", host=self.name)
        other = self._ansible()
        second = other.run(command, stdin, timeout_s, on_stdout)
        if second.error is not None:
            return reply
        self._transport, self._ansible = other, None
        return second

    def close(self) -> None:
        """As in ``Transport``."""
        self._transport.close()
