# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two terminals at the same moment: they never share a slot or a port."""

from __future__ import annotations

import itertools
import sys

ROUNDS = 50

# The job itself looks: while it runs, it leaves a mark on its node, and fails if the node has more marks than slots.
# Rank 0 holds the leased port all the while, which fails if anybody else does.
CHECK = """
import os, pathlib, socket, sys, time
slots = {"n1": 2, "n2": 1, "n3": 1}
node = pathlib.Path(os.environ["TORCHELASTIC_ERROR_FILE"]).parents[3].name
marks = pathlib.Path(sys.argv[1], node)
marks.mkdir(parents=True, exist_ok=True)
mine = marks / (os.environ["MUSTER_JOB_ID"] + "." + os.environ["RANK"])
if os.environ["RANK"] == "0":
    port = socket.create_server((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
mine.touch()
for _look in range(20):
    here = sorted(path.name for path in marks.iterdir())
    if len(here) > slots[node]:
        sys.exit(f"{node} has {slots[node]} slots and runs {here}")
    time.sleep(0.02)
mine.unlink()
"""


def test_two_launches_at_the_same_moment_never_share_anything(site, tmp_path):
    (tmp_path / "check.py").write_text(CHECK)
    command = [sys.executable, str(tmp_path / "check.py"), str(tmp_path / "marks")]
    assert site.play("sync").rc == 0
    for number in range(ROUNDS):
        # By turns: both fit at once, or the second must wait for the first.
        job = {"command": command, "slots": 2 if number % 2 else 3}
        terminals = [
            site.popen("launch", job=job | {"name": f"{side}-{number}"}, muster_wait_for_capacity_s=60) for side in "ab"
        ]
        for terminal in terminals:
            out, _err = terminal.communicate(timeout=180)
            assert terminal.returncode == 0, out
    jobs = site.table("jobs")
    assert [job["state"] for job in jobs] == ["SUCCEEDED"] * 2 * ROUNDS
    spans = [(job["attempts"][0]["allocated_at"], job["attempts"][0]["ended_at"], taken(job)) for job in jobs]
    together = 0
    for (begin, end, mine), (other_begin, other_end, theirs) in itertools.combinations(spans, 2):
        if begin < other_end and other_begin < end:
            together += 1
            assert not mine & theirs
    assert together, "no two jobs ever ran at the same time: this test has shown nothing"
    assert site.table("leases") == []


def taken(job: dict) -> set:
    """The slots and the port of a job."""
    plan = job["attempts"][0]["plan"]
    return {plan["master_port"]} | {(part["node"], slot) for part in plan["nodes"] for slot in part["slots"]}
