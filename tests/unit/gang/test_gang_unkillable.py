# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that waits in the kernel and does not die, as with a dead file server: its node is not offered again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from muster.gang import recover_gangs, release_gang, start_gang
from muster.model import NoCapacity

from tests.needs import needs

from .conftest import eventually, processes_of, spec

ALL = ("n1", "n2", "n3")


@pytest.fixture
def stuck(cluster, nodes, tmp_path):
    """A job on one node, its process that cannot die (it writes to a frozen file system), and what lets it die."""
    image, frozen, pid = tmp_path / "image", tmp_path / "frozen", tmp_path / "pid"
    frozen.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    # In a mount namespace of its own: nothing is left mounted when it is gone.
    inner = f"mount -o loop {image} {frozen} && fsfreeze --freeze {frozen} && echo $$ >{pid}.new && mv {pid}.new {pid}"
    script = f"exec unshare --mount sh -c '{inner}; echo >{frozen}/file'"
    job, _plan = cluster.allocate(spec(script, slots=1))
    job = start_gang(cluster, nodes.dial, job).job
    eventually(lambda: pid.exists() and state_of(int(pid.read_text())) == "D", "it waits in the kernel")
    process = int(pid.read_text())

    def thaw():
        if os.path.exists(f"/proc/{process}"):
            words = ["nsenter", "--mount", f"--target={process}", "fsfreeze", "--unfreeze", str(frozen)]
            subprocess.run(words, check=False, stderr=subprocess.DEVNULL)

    yield job, process, thaw
    thaw()


def state_of(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@needs(os.geteuid() == 0, "only root may mount a file system and freeze it")
def test_it_keeps_its_lease_and_the_node_is_drained_until_it_has_gone(cluster, nodes, stuck):
    job, process, thaw = stuck
    (node,) = [part["node"] for part in job.attempt.plan["nodes"]]
    after, doubtful = release_gang(cluster, nodes.dial, job, "no longer wanted")
    assert (after.state, list(doubtful)) == ("CANCELED", [node])
    assert f"1 of the processes of job {job.id} cannot be killed" in doubtful[node]
    assert state_of(process) == "D"
    admin = cluster.nodes()[node].admin
    assert (admin.state, admin.reason) == ("drained", f"job {job.id}: {doubtful[node]}")
    assert [lease.node for lease in cluster.leases()] == [node]
    assert cluster.view().violations == []
    with pytest.raises(NoCapacity, match=rf"left out: {node} \(drained\)"):
        cluster.allocate(spec(nodes=3))

    cluster.resume([node])
    other, _plan = cluster.allocate(spec(nodes=2))
    assert node not in [part["node"] for part in other.attempt.plan["nodes"]], "what it holds is not free"
    cluster.withdraw(other.id, other.attempt.epoch)

    thaw()
    eventually(lambda: processes_of(job) == [], "it dies")
    eventually(lambda: nodes.status(node, job)["left"] == 0, "its supervisor has seen that")
    assert [one.done for one in recover_gangs(cluster, nodes.dial, ALL).findings] == ["1 of 1 leases given back"]
    assert cluster.leases() == []
