# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that ask the agent of one node, in real playbooks with the real agent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from muster.agent import package

from tests.fakenvml import FakeNvml
from tests.integration.modules.site import Played, Site, Task, task
from tests.needs import needs
from tests.unit.agent.node import Node, python, until

TALKS = "import time; print('hello from the rank', flush=True); time.sleep(600)"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with the agent; whatever runs on it at the end of the test is ended."""
    node = Node("n1", tmp_path / "node")
    node.agent_file.parent.mkdir(parents=True)
    node.agent_file.write_bytes(package.build())
    yield node
    node.clear()


def play(site: Site, node: Node, *tasks: Task, words: tuple[str, ...] = ()) -> Played:
    """Run tasks whose module defaults name the node's state directory."""
    options = {"state_dir": str(node.state_dir)}
    names = ("ranks", "ranks_info", "gpu_info")
    defaults = {f"muster.training.{name}": options for name in names}
    return site.play(*tasks, module_defaults=defaults, words=words)


def test_ranks_are_started_once_and_stopped_once(site: Site, node: Node) -> None:
    spec = node.spec(python(TALKS))
    foreseen: dict[str, Any] = {"check_mode": True, "diff": True}
    played = play(
        site,
        node,
        task("ranks", name="start foreseen", spec=spec, keywords=foreseen),
        task("ranks_info", name="nothing runs yet"),
        task("ranks", name="start", spec=spec, keywords={"diff": True}),
        task("ranks", name="start again", spec=spec),
        task("ranks", name="stop foreseen", job=spec["job"], state="stopped", keywords=foreseen),
        task("ranks_info", name="it still runs", job=spec["job"], keywords={"check_mode": True}),
        task("ranks", name="stop", job=spec["job"], state="stopped", reason="enough", keywords={"diff": True}),
        task("ranks", name="stop again", job=spec["job"], state="stopped"),
        task("ranks_info", name="afterwards"),
    )
    assert played.rc == 0, played.out
    assert played.changed() == [True, False, True, False, True, False, True, False, False]
    assert played["start foreseen"]["diff"] == played["start"]["diff"]
    assert played["stop foreseen"]["diff"] == played["stop"]["diff"]
    assert (played["start foreseen"]["attempt"], played["nothing runs yet"]["attempts"]) == (None, [])
    assert played["start"]["attempt"]["state"] == played["it still runs"]["attempts"][0]["state"] == "running"
    ended = played["afterwards"]["attempts"][0]
    assert (ended["state"], ended["reason"], ended["left"]) == ("canceled", "enough", 0)


def test_the_last_lines_of_the_ranks_can_be_read(site: Site, node: Node) -> None:
    spec = node.spec(python(TALKS), python(TALKS))
    assert node.start(spec).exit_code == 0
    until(lambda: "hello" in node.log(spec, 0) and "hello" in node.log(spec, 1), "both ranks have spoken")
    played = play(site, node, task("ranks_info", job=spec["job"], log_lines=1))
    assert [(log["rank"], log["lines"]) for log in played.results[0]["logs"]] == [
        (0, ["hello from the rank"]),
        (1, ["hello from the rank"]),
    ]


def test_a_refused_start_fails_with_the_nodes_reason(site: Site, node: Node) -> None:
    played = play(site, node, task("ranks", spec=node.spec(["true"], cwd="/nowhere")))
    assert played.rc == 2
    result = played.results[0]
    assert (result["error"]["code"], result["attempt"]["state"]) == ("cwd_missing", "refused")
    assert "/nowhere" in result["msg"]


def test_a_playbook_in_check_mode_starts_nothing(site: Site, node: Node) -> None:
    played = play(site, node, task("ranks", spec=node.spec(["true"])), task("gpu_info"), words=("--check",))
    assert (played.rc, played.changed()) == (0, [True, False]), played.out
    assert node.call("status").payload["attempts"] == []


def test_a_node_without_the_agent_says_how_to_get_it(site: Site) -> None:
    played = site.play(task("gpu_info", state_dir=str(site.directory / "none")))
    assert played.rc == 2
    assert "there is no agent at" in played.results[0]["msg"]
    assert "muster.training.provision" in played.results[0]["error"]["hint"]


@needs(shutil.which("cc") is not None, "the stand-in for NVML is compiled with cc")
def test_the_gpus_are_those_that_nvml_has(site: Site, node: Node) -> None:
    nvml = FakeNvml(site.directory / "nvml", gpus=2, model="NVIDIA H100 80GB HBM3", memory_mib=81559)
    found = {"environment": {"LD_LIBRARY_PATH": str(nvml.directory)}}
    played = play(site, node, task("gpu_info", keywords=found) | {"register": "gpus"})
    assert played.rc == 0, played.out
    result = played["gpu_info"]
    assert (result["changed"], result["nvml"]["status"]) == (False, "ok")
    assert [gpu["uuid"] for gpu in result["gpus"]] == nvml.uuids
    assert {(gpu["model"], gpu["memory_mib"]) for gpu in result["gpus"]} == {("NVIDIA H100 80GB HBM3", 81559)}


def test_what_gpu_info_returns_is_what_node_takes(site: Site, node: Node) -> None:
    known = {"name": "n1", "address": "10.0.0.1", "slots": 1, "gpus": "{{ found.gpus }}"}
    played = play(site, node, task("gpu_info") | {"register": "found"}, task("node", nodes=[known]))
    assert played.rc == 0, played.out
    assert len(site.cluster().nodes()["n1"].gpus) == len(played["gpu_info"]["gpus"])
