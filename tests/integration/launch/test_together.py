# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two terminals at the same moment: they never share a GPU, a slot or a port."""

from __future__ import annotations

import itertools
import os
import shutil
import sys

import yaml

from tests.fakenvml import FakeNvml
from tests.integration.launch.conftest import LOCAL, ROOT
from tests.needs import needs

ROUNDS = int(os.environ.get("MUSTER_ROUNDS_TOGETHER", "24"))
# By turns: both fit at once, or the second must wait for the first.
SIZES = ({"slots": 2}, {"slots": 3}, {"gpus": 2}, {"gpus": 3})
SLOTS = {"n2": 2, "n3": 2}
GPUS = 4  # of n1

# The job itself looks. While it runs, each of its ranks leaves a mark on its node, and fails if it has more marks than
# slots; the first rank of a node takes a file for each GPU that it was given, which fails if it is taken. Rank 0
# holds the leased port all the while, which fails likewise.
CHECK = """
import os, pathlib, socket, sys, time
marks = pathlib.Path(sys.argv[1], os.environ["MUSTER_NODE"])
marks.mkdir(parents=True, exist_ok=True)
gpus = [uuid for uuid in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if uuid]
mine = []
if os.environ["RANK"] == "0":
    port = socket.create_server((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
if not gpus:
    mine = [marks / (os.environ["MUSTER_JOB_ID"] + "." + os.environ["RANK"])]
elif os.environ["LOCAL_RANK"] == "0":
    mine = [marks / uuid for uuid in gpus]
for mark in mine:
    mark.open("x").close()
for _look in range(20):
    here = sorted(path.name for path in marks.iterdir())
    if len(here) > int(sys.argv[2]):
        sys.exit(f"more than {sys.argv[2]} are in use: {here}")
    time.sleep(0.02)
for mark in mine:
    mark.unlink()
"""


@needs(shutil.which("cc") is not None, "the stand-in for NVML is compiled with cc")
def test_two_launches_at_the_same_moment_never_share_anything(site, tmp_path):
    (tmp_path / "check.py").write_text(CHECK)
    inventory = three_nodes(tmp_path, FakeNvml(tmp_path / "nvml", gpus=GPUS))
    assert site.play("sync", inventory=inventory).rc == 0
    assert {node["name"]: len(node["gpus"]) for node in site.table("nodes")} == {"n1": GPUS, "n2": 0, "n3": 0}
    for number in range(ROUNDS):
        size = SIZES[number % len(SIZES)]
        there = GPUS if "gpus" in size else SLOTS["n2"]
        command = [sys.executable, str(tmp_path / "check.py"), str(tmp_path / "marks"), there]
        terminals = [
            site.popen(
                "launch",
                job={"name": f"{side}-{number}", "command": command, **size},
                inventory=inventory,
                muster_wait_for_capacity_s=60,
            )
            for side in "ab"
        ]
        for terminal in terminals:
            out, _err = terminal.communicate(timeout=180)
            assert terminal.returncode == 0, out
    jobs = site.table("jobs")
    assert [job["state"] for job in jobs] == ["SUCCEEDED"] * 2 * ROUNDS
    together = {"gpus": 0, "slots": 0}
    for one, other in itertools.combinations(jobs, 2):
        (begin, end), (other_begin, other_end) = span(one), span(other)
        if begin < other_end and other_begin < end:
            together["gpus" if one["spec"]["gpus"] else "slots"] += 1
            assert not taken(one) & taken(other)
    assert all(together.values()), f"jobs that never ran at the same time show nothing: {together}"
    assert site.table("leases") == []


def three_nodes(directory, nvml):
    """The local inventory, with GPUs on n1 and two slots on the others."""
    hosts = yaml.safe_load((ROOT / LOCAL / "hosts.yml").read_text())
    hosts["all"]["hosts"] = {name: {"muster_slots": count} for name, count in SLOTS.items()}
    interpreter = f"env LD_LIBRARY_PATH={nvml.directory} {sys.executable}"
    hosts["all"]["hosts"]["n1"] = {"ansible_python_interpreter": interpreter}
    inventory = directory / "hosts.yml"
    inventory.write_text(yaml.safe_dump(hosts))
    return inventory


def span(job):
    """From its allocation to its end."""
    attempt = job["attempts"][0]
    return attempt["allocated_at"], attempt["ended_at"]


def taken(job):
    """The GPUs, the slots and the port of a job."""
    plan = job["attempts"][0]["plan"]
    slots = {(part["node"], slot) for part in plan["nodes"] for slot in part["slots"]}
    return {plan["master_port"]} | slots | {uuid for part in plan["nodes"] for uuid in part["gpus"]}
