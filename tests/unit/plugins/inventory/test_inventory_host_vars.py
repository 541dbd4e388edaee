# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a node's record to the variables with which Ansible reaches it."""

from __future__ import annotations

import shlex
from typing import Any

from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster
from ansible_collections.muster.training.plugins.module_utils.model import NodeFacts
from ansible_collections.muster.training.plugins.module_utils.remote import Target
from ansible_collections.muster.training.plugins.plugin_utils.host_vars_of_node import host_variables
from ansible_collections.muster.training.plugins.plugin_utils.ssh_arguments import understood


def variables(cluster: Cluster, target: Target) -> dict[str, Any]:
    """Of a node that is reached like this."""
    cluster.sync_nodes([NodeFacts(name=target.name, address="10.0.0.9", slots=1, connection=target.to_document())])
    return host_variables(next(row for row in cluster.view().nodes if row["name"] == target.name))


def test_a_plain_host_is_reached_by_its_address_port_user_and_key(cluster: Cluster) -> None:
    target = Target("n9", host="10.0.0.9", port=2222, user="ops", key_files=("/k/one",), connect_timeout_s=30)
    found = variables(cluster, target)
    assert {key: value for key, value in found.items() if key.startswith("ansible_")} == {
        "ansible_host": "10.0.0.9",
        "ansible_port": 2222,
        "ansible_user": "ops",
        "ansible_ssh_private_key_file": "/k/one",
        "ansible_timeout": 30,
    }


def test_what_ansible_has_no_variable_for_is_given_as_arguments_that_mean_the_same(cluster: Cluster) -> None:
    target = Target(
        "n9",
        host="10.0.0.9",
        key_files=("/k/one", "/k/two with space"),
        identities_only=True,
        ssh_config="/etc/site/ssh_config",
        jump="ops@bastion:2200",
        known_hosts=("/etc/site/known_hosts",),
        host_key_checking="accept-new",
    )
    found = variables(cluster, target)
    assert understood(shlex.split(found["ansible_ssh_common_args"])) == {
        "key_files": ("/k/two with space",),
        "identities_only": True,
        "ssh_config": "/etc/site/ssh_config",
        "jump": "ops@bastion:2200",
        "known_hosts": ("/etc/site/known_hosts",),
        "host_key_checking": "accept-new",
    }


def test_a_node_of_this_machine_is_local_with_its_interpreter_and_state_directory(cluster: Cluster) -> None:
    found = variables(cluster, Target("n9", transport="local", python="/venv/bin/python", state_dir="/srv/n9"))
    assert found["ansible_connection"] == "local"
    assert found["ansible_python_interpreter"] == "/venv/bin/python"
    assert "ansible_host" not in found


def test_commands_that_ran_through_sudo_do_so_again(cluster: Cluster) -> None:
    found = variables(cluster, Target("n9", host="n9", user="ops", become_user="root"))
    assert {key: value for key, value in found.items() if "become" in key} == {
        "ansible_become": True,
        "ansible_become_method": "sudo",
        "ansible_become_user": "root",
    }


def test_a_node_without_a_record_of_its_connection_gets_no_connection_variables(cluster: Cluster) -> None:
    found = host_variables(cluster.view().nodes[0])
    assert not [key for key in found if key.startswith("ansible_")]
    assert found["muster_status"] == "idle"
