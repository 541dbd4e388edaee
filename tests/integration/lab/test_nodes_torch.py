# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The torch example trains on real nodes, and its ranks are who the plan says."""

from __future__ import annotations

import re
import shutil
import sys

import pytest
import yaml

from tests.integration.lab.fleet import ROOT, Fleet
from tests.lab.pytorch import PYTHON

LAST_LINE = re.compile(r"RANK=(\d+) LOCAL_RANK=(\d+) WORLD_SIZE=(\d+) parameters ([0-9a-f]{16})$", re.MULTILINE)


@pytest.mark.parametrize("launcher", ["direct", "torchrun"])
def test_torch_ddp_ends_with_the_same_parameters_on_every_rank(torch_fleet: Fleet, launcher: str) -> None:
    fleet = torch_fleet
    for node in fleet.lab.nodes.values():
        shutil.copytree(ROOT / "examples", node.root / "opt/examples", dirs_exist_ok=True)
    job = yaml.safe_load((ROOT / "examples/ddp_torch.yml").read_text())["muster_job"]
    job |= {"command": [PYTHON, "/opt/examples/ddp_torch.py"], "launcher": launcher, "env": {"STEPS": 20}}
    run = fleet.play("launch", job=job)
    trained = fleet.job(job["name"])
    assert run.rc == 0, (run.out, fleet.logs(trained))
    assert trained["state"] == "SUCCEEDED"
    shown = fleet.run(sys.executable, "-m", "muster.cli", "logs", trained["id"], "--lines", "all")
    assert shown.rc == 0, shown.out
    lines = LAST_LINE.findall(shown.out)
    plan = trained["attempts"][-1]["plan"]
    assert sorted((int(rank), int(local), int(world)) for rank, local, world, _checksum in lines) == [
        (rank, local, plan["world_size"]) for part in plan["nodes"] for local, rank in enumerate(part["ranks"])
    ]
    assert [len(part["ranks"]) for part in plan["nodes"]] == [2, 1, 1]
    assert len({checksum for *_who, checksum in lines}) == 1
    assert fleet.remains(trained) == []
