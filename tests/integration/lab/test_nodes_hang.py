# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real collective that waits for ever: the job is ended, and its logs say where it was stuck."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.integration.lab.fleet import Fleet
from tests.lab.pytorch import PYTHON

STUCK = """
import time
import torch.distributed as dist
dist.init_process_group("gloo")
print("all are there", flush=True)
if dist.get_rank() == 2:
    time.sleep(3600)
dist.barrier()
"""


def test_a_barrier_that_one_rank_never_reaches_is_told_with_the_stacks_of_all(torch_fleet: Fleet) -> None:
    for node in torch_fleet.lab.nodes.values():
        shutil.copy(Path(sys.executable).with_name("py-spy"), node.root / "usr/local/bin/py-spy")
    job = {"name": "stuck", "command": [PYTHON, "-c", STUCK], "nodes": 3, "hang_timeout_s": 5, "grace_s": 1}
    run = torch_fleet.play("launch", job=job)
    assert run.rc != 0
    reason = "it hangs: no output and no processor use by any rank for 5 s"
    assert reason in run.said, run.out
    ended = torch_fleet.job("stuck")
    assert (ended["state"], ended["reason"]) == ("FAILED", reason)
    logs = torch_fleet.logs(ended)
    assert set(logs) == {0, 1, 2, 3}
    for rank, text in logs.items():
        assert "all are there" in text
        assert ("barrier (torch/distributed" in text) == (rank != 2), text
        assert "<module> (<string>" in text
    assert torch_fleet.remains(ended) == []
