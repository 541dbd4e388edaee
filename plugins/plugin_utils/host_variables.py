# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of one host, as Ansible would see them in a task delegated to it, and its connection plugin."""

from __future__ import annotations

import os
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError, AnsibleValueOmittedError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase
from ansible.plugins.become import BecomeBase
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar

SSH_KINDS = ("ssh", "smart", "paramiko", "paramiko_ssh")


class HostVariables:
    """Variables of one host, each templated when it is first asked for (up to 1 ms).

    Variables and keywords of the play count, ``become`` of the task too, but not the task's ``vars``: they are often
    about the controller.

    :raises AnsibleError: the host is not in the inventory.
    """

    def __init__(self, action: ActionBase, name: str) -> None:
        self.name = name
        self._action = action
        manager = action._task.get_variable_manager()
        host = manager._inventory.get_host(name)
        if host is None:
            raise AnsibleError(f"{name} is not in the inventory, so that nothing says how to reach it")
        self._variables = manager.get_vars(play=action._task.play, host=host)
        self._values: dict[str, Any] = {}
        self._templar = Templar(loader=action._loader, variables=self._variables)

    def get(self, name: str) -> Any:
        """The value of a variable, or None when it is not set."""
        if name in self._variables and name not in self._values:
            try:
                self._values[name] = self._templar.template(self._variables[name])
            except AnsibleValueOmittedError:
                self._values[name] = None
        return self._values.get(name)

    def text(self, name: str) -> str:
        """A variable as a plain string without Ansible's tags; empty when it is not set."""
        value = self.get(name)
        return "" if value is None else str(value)

    @property
    def connection_kind(self) -> str:
        """The name of the host's connection plugin. The play's keyword is left out: it says how to run the play."""
        named = self.text("ansible_connection") or str(context.CLIARGS.get("connection") or C.DEFAULT_TRANSPORT)
        kind = named.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
        return "ssh" if kind in SSH_KINDS else kind

    def connection(self) -> ConnectionBase:
        """The connection plugin with its options, its shell and its become plugin set, not yet connected.

        Follows TaskExecutor._get_connection and _set_connection_options of ansible-core 2.19 to 2.21.
        """
        play_context = self._play_context()
        connection = connection_loader.get(
            self.connection_kind,
            play_context,
            new_stdin=None,
            task_uuid=self._action._task._uuid,
            ansible_playbook_pid=str(os.getppid()),
        )
        if connection is None:
            raise AnsibleError(f"{self.name} has the connection {self.connection_kind!r}, and there is no such plugin")
        keywords = self._keywords(play_context)
        connection.set_options(
            task_keys=keywords, var_options=connection._resolve_option_variables(self._variables, self._templar)
        )
        shell = connection._shell
        shell.set_options(task_keys=keywords, var_options=self._plugin_variables("shell", shell._load_name))
        connection.set_become_plugin(self._become(connection, play_context, keywords))
        return connection

    def _play_context(self) -> PlayContext:
        """The command line and this host. The action's own context is about the host that its task is for."""
        passwords = {"conn_pass": self._asked_for("password"), "become_pass": self._asked_for("become_pass")}
        play_context = PlayContext(play=self._action._task.play, passwords=passwords)
        play_context.connection = self.connection_kind
        play_context.remote_addr = self.text("ansible_host") or self.name
        play_context.remote_user = self.text("ansible_user") or None
        play_context.port = int(self.text("ansible_port") or 0) or None
        play_context.timeout = int(self.text("ansible_timeout") or play_context.timeout)
        play_context.executable = self.text("ansible_shell_executable") or C.DEFAULT_EXECUTABLE
        return play_context

    def _asked_for(self, secret: str) -> str:
        """The password of -k or -K ("password", "become_pass").

        The action's play context has it, unless the host that the task is for has a password variable: Ansible has then
        put that in its place, and no other host may see it.
        """
        task, connection = self._action._task, self._action._connection
        plugin = connection.become if secret == "become_pass" else connection
        definition = C.config.get_configuration_definitions(plugin.plugin_type, plugin._load_name) if plugin else {}
        names = {each["name"] for each in definition.get(secret, {}).get("vars", ())}
        names.update(C.MAGIC_VARIABLE_MAPPING[secret])
        current = self._action._templar.available_variables
        delegated = current.get("ansible_delegated_vars", {}).get(task.delegate_to, {})
        if names & (current.keys() | delegated.keys()):
            return ""
        return getattr(self._action._play_context, secret) or ""

    def _keywords(self, play_context: PlayContext) -> dict[str, Any]:
        keywords: dict[str, Any] = self._action._task.dump_attrs()
        # The keywords of these names are about the task: how long it may take, and how often it is tried.
        keywords["timeout"] = play_context.timeout
        keywords.pop("retries", None)
        if play_context.password:
            keywords["password"] = play_context.password
        return keywords

    def _plugin_variables(self, kind: str, name: str) -> dict[str, Any]:
        names = C.config.get_plugin_vars(kind, name)
        return {each: self.get(each) for each in names if each in self._variables}

    def _become(
        self, connection: ConnectionBase, play_context: PlayContext, keywords: dict[str, Any]
    ) -> BecomeBase | None:
        """The become plugin, unless the login user already is whom to become."""
        task = self._action._task
        wanted = self.get("ansible_become")
        if not (boolean(wanted) if wanted is not None else task.become):
            return None
        method = self.text("ansible_become_method") or task.become_method
        become = become_loader.get(method)
        if become is None:
            raise AnsibleError(f"{self.name} has the become method {method!r}, and there is no such plugin")
        if play_context.become_pass:
            keywords = {**keywords, "become_pass": play_context.become_pass}
        become.set_options(task_keys=keywords, var_options=self._plugin_variables("become", become._load_name))
        login = option(connection, "remote_user") or connection.default_user
        if become.get_option("become_user") == login and not C.BECOME_ALLOW_SAME_USER:
            return None
        return become


def option(plugin: Any, name: str) -> Any:
    """An option of a plugin, or None where this version or kind of plugin does not have it."""
    return plugin.get_option(name) if plugin.has_option(name) else None
