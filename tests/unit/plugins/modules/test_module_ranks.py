# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that ask the agent of a node: ``ranks``, ``ranks_info`` and ``gpu_info``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.modules.scripted_agent import ScriptedAgent

Run = Callable[..., dict[str, Any]]
ROOT = Path(__file__).resolve().parents[4]
SPEC = {"job": "2q8hr6b0vk", "attempt": 1, "epoch": 7, "name": "ring"}
RUNNING = {**SPEC, "state": "running", "ranks": [{"rank": 0}], "failure": None, "left": 0, "problems": []}
CANCELED = {**RUNNING, "state": "canceled"}
UNKNOWN = {"error": {"code": "no_such_job", "message": "this node has no job 2q8hr6b0vk", "hint": ""}}


@pytest.fixture
def agent(tmp_path: Path) -> ScriptedAgent:
    return ScriptedAgent(tmp_path / "node")


@pytest.fixture
def run(run_module: Run, tmp_path: Path) -> Run:
    return lambda name, **params: run_module(name, state_dir=str(tmp_path / "node"), **params)


def test_the_spec_is_handed_to_the_agent_as_it_is(run: Run, agent: ScriptedAgent) -> None:
    agent.answers("status", UNKNOWN, code=66)
    agent.answers("start", {"attempt": RUNNING})
    spec = SPEC | {"processes": [{"env": {"COST": "$5 ~ {{ x }}"}}]}
    result = run("ranks", spec=spec, diff=True)
    assert (result["changed"], result["attempt"]["state"]) == (True, "running")
    assert result["diff"] == {"before": {}, "after": {"2q8hr6b0vk.1": "running"}}
    verb, options, stdin = agent.asked()[-1]
    assert (verb, options, json.loads(stdin)) == ("start", [], spec)


def test_an_attempt_that_was_started_is_found_so(run: Run, agent: ScriptedAgent) -> None:
    agent.answers("status", {"attempts": [RUNNING]})
    agent.answers("start", {"attempt": RUNNING})
    assert not run("ranks", spec=SPEC)["changed"]


def test_check_mode_only_asks(run: Run, agent: ScriptedAgent) -> None:
    agent.answers("status", UNKNOWN, code=66)
    foreseen = run("ranks", spec=SPEC, check_mode=True, diff=True)
    assert (foreseen["changed"], foreseen["attempt"]) == (True, None)
    assert foreseen["diff"]["after"] == {"2q8hr6b0vk.1": "running"}
    agent.answers("status", {"attempts": [RUNNING]})
    assert not run("ranks", spec=SPEC, check_mode=True)["changed"]
    assert run("ranks", job="2q8hr6b0vk", state="stopped", check_mode=True)["changed"]
    assert {verb for verb, _options, _stdin in agent.asked()} == {"status"}


def test_a_refused_start_says_why_and_returns_the_status(run: Run, agent: ScriptedAgent) -> None:
    refused = RUNNING | {"state": "refused", "problems": [{"node": "n1", "code": "cwd_missing", "message": "no /x"}]}
    agent.answers("status", UNKNOWN, code=66)
    agent.answers(
        "start", {"attempt": refused, "error": {"code": "cwd_missing", "message": "no /x", "hint": "make it"}}, code=69
    )
    result = run("ranks", spec=SPEC)
    assert (result["failed"], result["msg"], result["error"]["code"]) == (True, "no /x (make it)", "cwd_missing")
    assert result["attempt"]["problems"][0]["node"] == "n1"


def test_a_spec_that_names_no_attempt_is_refused(run: Run, agent: ScriptedAgent) -> None:
    assert run("ranks", spec={"job": "x"})["msg"].startswith("spec.attempt is missing")


def test_a_stop_carries_its_options_and_is_idempotent(run: Run, agent: ScriptedAgent) -> None:
    agent.answers("status", {"attempts": [RUNNING]})
    agent.answers("stop", {"attempt": CANCELED})
    asked: dict[str, Any] = {
        "job": "2q8hr6b0vk",
        "state": "stopped",
        "epoch": 7,
        "grace_s": 2.5,
        "reason": "$HOME -- ~",
    }
    result = run("ranks", **asked, diff=True)
    assert (result["changed"], result["attempt"]["state"]) == (True, "canceled")
    assert result["diff"] == {"before": {"2q8hr6b0vk.1": "running"}, "after": {"2q8hr6b0vk.1": "canceled"}}
    assert agent.asked()[-1][1] == ["--job=2q8hr6b0vk", "--epoch=7", "--grace=2.5", "--reason=$HOME -- ~"]
    agent.answers("status", {"attempts": [CANCELED]})
    assert not run("ranks", **asked)["changed"]


def test_stopping_a_job_that_the_node_does_not_know_is_no_change(run: Run, agent: ScriptedAgent) -> None:
    agent.answers("status", UNKNOWN, code=66)
    agent.answers("stop", {"attempt": None})
    result = run("ranks", job="2q8hr6b0vk", state="stopped")
    assert (result["changed"], result["attempt"]) == (False, None)


def test_ranks_info_is_empty_where_nothing_ran(run: Run, agent: ScriptedAgent) -> None:
    agent.answers("status", {"attempts": []})
    assert run("ranks_info")["attempts"] == []
    agent.answers("status", UNKNOWN, code=66)
    assert run("ranks_info", job="2q8hr6b0vk", log_lines=5)["attempts"] == []


def test_ranks_info_shows_the_end_of_the_logs(run: Run, agent: ScriptedAgent) -> None:
    agent.answers("status", {"attempts": [RUNNING]})
    agent.answers("logs", {"logs": [{"rank": 0, "log": "/x/rank-0.log", "lines": ["loss 0.1"]}]})
    result = run("ranks_info", job="2q8hr6b0vk", log_lines=1, check_mode=True)
    assert (result["changed"], result["logs"][0]["lines"]) == (False, ["loss 0.1"])
    assert agent.asked()[-1][:2] == ("logs", ["--job=2q8hr6b0vk", "--attempt=1", "--lines=1"])


def test_gpu_info_of_a_node_without_gpus_is_no_error(run: Run, agent: ScriptedAgent) -> None:
    nvml = {"status": "absent", "detail": None, "driver": None}
    agent.answers("inventory", {"node": {"hostname": "n1", "gpus": [], "nvml": nvml}})
    result = run("gpu_info")
    assert (result["changed"], result["gpus"], result["nvml"]) == (False, [], nvml)


def test_gpu_info_warns_when_the_driver_does_not_answer(run: Run, agent: ScriptedAgent) -> None:
    nvml = {"status": "error", "detail": "NVML does not start: driver mismatch", "driver": None}
    agent.answers("inventory", {"node": {"hostname": "n1", "gpus": [], "nvml": nvml}})
    assert "the GPUs of n1 cannot be told: NVML does not start" in run("gpu_info")["warnings"][0]


def test_a_node_without_the_agent_says_how_to_get_it(run: Run, tmp_path: Path) -> None:
    result = run("gpu_info")
    assert (result["failed"], result["error"]["code"]) == (True, "agent_missing")
    assert str(tmp_path / "node/bin/muster-agent.pyz") in result["msg"]
    assert "muster.training.provision" in result["msg"]


def test_an_answer_that_is_not_the_agents_is_shown(run: Run, agent: ScriptedAgent) -> None:
    agent.prints("inventory", "Segmentation fault", code=139)
    result = run("gpu_info")
    assert result["error"]["code"] == "no_answer"
    assert "(exit code 139): Segmentation fault" in result["msg"]


@pytest.mark.parametrize("name", ["ranks", "ranks_info", "gpu_info"])
def test_what_runs_on_nodes_needs_no_library_there(name: str) -> None:
    library = ("pydantic", "tinydb", "fabric", "rich", "typer")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({library!r}))\n"
        "from ansible.plugins.loader import init_plugin_loader\n"
        f"init_plugin_loader([{str(ROOT / 'collections')!r}])\n"
        f"import ansible_collections.muster.training.plugins.modules.{name}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
