# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input, each with its one clear sentence, and nothing changed."""

from __future__ import annotations

import json

import pytest

from tests.integration.launch.conftest import LOCAL, ROOT

GOOD = {"name": "good", "command": ["true"], "nodes": 1}


def said(run) -> str:
    """What the run printed, as one line: Ansible wraps its messages."""
    return " ".join(run.out.split())


@pytest.fixture
def synced(site):
    assert site.play("sync").rc == 0
    return site


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"command": "python train.py"},
            'muster_job.command: must be a list of words, not a string: write ["python", "train.py"]',
        ),
        ({"nodes": 9}, "the job asks for 9 whole nodes, more than the cluster has"),
        ({"nodes": None, "slots": 5}, "the job asks for 5 slots, more than the cluster has"),
        ({"nodes": None, "gpus": 1}, "more than the cluster has"),
        ({"slots": 2}, "asks for its size in two ways (nodes, slots)"),
        ({"nodes": None}, "says no size"),
        ({"constraints": {"labels": {"rack": "a"}}}, "no node has the label rack=a"),
        ({"constraints": {"gpu_model": "H100"}}, "no node has a H100"),
        ({"name": "a/b"}, "'a/b' is no job name"),
        ({"name": "a b"}, "'a b' is no job name"),
        ({"name": "a..b"}, "'a..b' is no job name"),
        ({"launcher": "mpirun"}, "'mpirun' is no launcher: use direct or torchrun"),
        ({"comand": ["x"]}, "muster_job.comand is unknown: did you mean command?"),
        ({"nodes": "two"}, "muster_job.nodes"),
        ({"max_restarts": 1000}, "muster_job.max_restarts: must be at most 100, not 1000"),
        ({"cwd": "/nowhere/at/all"}, "the directory /nowhere/at/all does not exist on n"),
        ({"command": ["no-such-program"]}, "'no-such-program' is not an executable file"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_job_that_cannot_be_is_told_so_and_nothing_changes(synced, change, sentence):
    jobs, nodes = synced.table("jobs"), synced.table("nodes")
    job = {key: value for key, value in (GOOD | change).items() if value is not None}
    run = synced.play("launch", job=job)
    assert run.rc != 0
    assert sentence in said(run), run.out
    assert "Traceback" not in run.out
    assert (synced.table("jobs"), synced.table("nodes"), synced.table("leases")) == (jobs, nodes, [])
    assert not [path for path in synced.directory.glob("nodes/*/jobs/*")]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("muster_wait", "perhaps"), ("muster_preflight", "perhaps"), ("muster_wait_for_capacity_s", "long")],
)
def test_a_variable_that_is_none_is_told_before_anything_is_done(site, variable, value):
    run = site.play("launch", job=GOOD, **{variable: value})
    assert run.rc != 0
    assert f"argument '{variable}' is of type str and we were unable to convert" in said(run), run.out
    assert "Traceback" not in run.out
    assert not site.store.exists()


def test_numbers_may_come_as_strings_as_awx_surveys_send_them(synced):
    run = synced.play(
        "launch", job={"name": "survey", "command": ["true"], "nodes": "1", "time_limit_s": "", "grace_s": "5"}
    )
    assert run.rc == 0, run.out


def test_a_launch_without_a_job_says_how_to_give_one(synced):
    run = synced.play("launch")
    assert run.rc != 0
    assert "muster_job" in said(run)
    assert "Traceback" not in run.out


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{ torn", "state.json is damaged"),
        (b"[]", "state.json is damaged"),
        (b'{"meta": {"1": {"key": "state", "schema": 99, "serial": 1, "lineage": "x", "epoch": 0}}}', "has schema 99"),
    ],
    ids=["torn", "no tables", "newer schema"],
)
@pytest.mark.parametrize("playbook", ["launch", "sync", "release"])
def test_a_state_that_cannot_be_trusted_is_refused_and_left_alone(site, playbook, content, sentence):
    site.store.mkdir()
    (site.store / "state.json").write_bytes(content)
    run = site.play(playbook, job=GOOD)
    assert run.rc != 0
    assert sentence in said(run), run.out
    assert "Traceback" not in run.out
    assert (site.store / "state.json").read_bytes() == content


def test_a_state_that_cannot_be_read_is_said(site):
    (site.store / "state.json").mkdir(parents=True)
    run = site.play("sync")
    assert run.rc != 0
    assert "state.json cannot be read" in said(run), run.out


def test_an_empty_inventory_is_no_success(site, tmp_path):
    empty = tmp_path / "empty.yml"
    empty.write_text("all:\n  hosts: {}\n")
    run = site.play("launch", job=GOOD, inventory=empty)
    assert run.rc != 0
    assert "The inventory has no host to run a job on" in said(run)


def test_a_node_whose_address_does_not_resolve_is_left_out_and_said(site, tmp_path):
    inventory = tmp_path / "hosts.yml"
    hosts = (ROOT / LOCAL / "hosts.yml").read_text()
    inventory.write_text(hosts.replace("    n3:\n", "    n3:\n      muster_address: no-such-host.invalid\n"))
    run = site.play("sync", inventory=inventory)
    assert run.rc == 0, run.out
    assert "no-such-host.invalid" in said(run)
    assert {node["name"] for node in site.table("nodes")} == {"n1", "n2"}
