# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job must keep to itself does not get into the state."""

from __future__ import annotations

from pathlib import Path

import pytest
from muster.cluster import Cluster
from muster.model import SECRET, InvalidInput

from tests.unit.samples import spec


def test_secrets_never_reach_the_state(cluster: Cluster, tmp_path: Path) -> None:
    job, _plan = cluster.allocate(spec(nodes=1, env={"HF_TOKEN": "hf_abc", "NCCL_DEBUG": "INFO"}))
    assert job.spec.env == {"HF_TOKEN": SECRET, "NCCL_DEBUG": "INFO"}
    assert not any(b"hf_abc" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["run", "--token", "hf_abc"], "the value of HF_TOKEN"),
        (["run", "--token=hf_abc"], "the value of HF_TOKEN"),
        (["run", "by its mark"], "the value of CITY"),
        (["run", "--db=postgres://me:hidden@db/x"], "a URL with a password"),
    ],
)
def test_a_command_with_a_secret_in_it_is_refused_as_it_would_be_kept(
    cluster: Cluster, command: list[str], told: str
) -> None:
    before = cluster.store.read().serial
    env = {"HF_TOKEN": "hf_abc", "CITY": "by its mark", "PIN_KEY": "1", "NCCL_DEBUG": "INFO"}
    with pytest.raises(InvalidInput, match=f"the command of ring has {told} in it"):
        cluster.allocate(spec(nodes=1, env=env, secrets=["CITY"], command=command))
    assert cluster.store.read().serial == before
    cluster.allocate(spec(nodes=1, env=env, secrets=["CITY"], command=["run", "1", "INFO", "http://db:80/x"]))
