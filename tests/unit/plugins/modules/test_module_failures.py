# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every state module does when its store or its library cannot be used: one sentence, and nothing touched."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster

Run = Callable[..., dict[str, Any]]
MODULES = "ansible_collections.muster.training.plugins.modules"
CALLS: dict[str, dict[str, Any]] = {
    "node": {"nodes": [{"name": "n1", "address": "10.0.0.1"}]},
    "node_info": {},
    "job": {"spec": {"name": "ring", "command": ["true"], "slots": 1}},
    "job_info": {},
    "allocation": {"spec": {"name": "ring", "command": ["true"], "slots": 1}},
}
every_module = pytest.mark.parametrize("name", CALLS)


@every_module
def test_a_damaged_state_is_said_and_left_alone(run_module: Run, cluster: Cluster, location: str, name: str) -> None:
    state = Path(location, "state.json")
    damaged = state.read_bytes()[:-40]
    state.write_bytes(damaged)
    shutil.rmtree(Path(location, "journal"))
    result = run_module(name, **CALLS[name])
    assert (result["failed"], result["changed"], result["error"]["code"]) == (True, False, "damaged")
    assert f"{state} is damaged" in result["msg"]
    assert state.read_bytes() == damaged


def test_a_damaged_state_that_the_journal_can_tell_anew_is_used_and_the_damage_said(
    run_module: Run, cluster: Cluster, location: str
) -> None:
    Path(location, "state.json").write_text("{")
    result = run_module("node_info")
    assert len(result["nodes"]) == len(cluster.nodes())
    assert any("state.json is damaged" in warning for warning in result["warnings"])


@every_module
def test_a_state_of_a_newer_schema_is_refused(run_module: Run, cluster: Cluster, location: str, name: str) -> None:
    state = Path(location, "state.json")
    state.write_text(json.dumps({"meta": {"1": {"key": "state", "schema": 99}}}))
    before = state.read_bytes()
    result = run_module(name, **CALLS[name])
    assert "schema 99" in result["msg"]
    assert "upgrade muster.training" in result["error"]["hint"]
    assert state.read_bytes() == before


@every_module
def test_a_state_that_cannot_be_read_is_said(run_module: Run, location: str, name: str) -> None:
    Path(location, "state.json").mkdir(parents=True)
    result = run_module(name, **CALLS[name])
    assert (result["failed"], result["error"]["code"]) == (True, "store_error")
    assert "cannot be read" in result["msg"]


@every_module
def test_a_store_of_a_kind_that_is_not_known_is_refused(run_module: Run, name: str) -> None:
    result = run_module(name, store="mongodb://x", **CALLS[name])
    assert (result["failed"], result["error"]["code"]) == (True, "invalid_input")
    assert "mongodb" in result["msg"]


@every_module
def test_a_missing_library_is_named(run_module: Run, location: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module(f"{MODULES}.{name}"), "MISSING", ImportError(name="tinydb"))
    result = run_module(name, **CALLS[name])
    assert "Failed to import the required Python library (tinydb)" in result["msg"]
    assert not Path(location).exists()
