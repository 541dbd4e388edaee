# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which results of tasks prove that a node was contacted."""

from __future__ import annotations

import pytest
from ansible_collections.muster.training.plugins.plugin_utils.contact import proves_contact

SENT = {"_ansible_module_name": "ansible.builtin.stat"}


@pytest.mark.parametrize(
    "action",
    [
        "command",
        "ansible.builtin.command",
        "ansible.builtin.copy",
        "ansible.builtin.ping",
        "muster.training.ranks_info",
    ],
)
def test_a_task_that_ran_on_the_host_proves_it(action: str) -> None:
    assert proves_contact(action, {}, None, failed=False)


@pytest.mark.parametrize(
    "action",
    [
        "ansible.builtin.debug",
        "ansible.builtin.set_fact",
        "ansible.builtin.assert",
        "ansible.builtin.add_host",
        "ansible.builtin.include_vars",
        "ansible.builtin.include_tasks",
        "ansible.builtin.pause",
        "ansible.builtin.validate_argument_spec",
        "muster.training.allocation",
        "muster.training.gang",
        "muster.training.node",
    ],
)
def test_a_task_of_the_controller_proves_nothing(action: str) -> None:
    assert not proves_contact(action, {}, None, failed=False)


def test_a_delegated_task_proves_nothing_about_its_host() -> None:
    assert not proves_contact("ansible.builtin.command", SENT, "localhost", failed=False)


def test_a_failure_proves_it_only_if_the_module_was_sent() -> None:
    assert proves_contact("ansible.builtin.stat", SENT, None, failed=True)
    assert not proves_contact("ansible.builtin.stat", {"path": "{{ missing }}"}, None, failed=True)
