# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`muster state history`: who changed what, when and why."""

from __future__ import annotations

import json
import re

import pytest
from muster.cluster import Cluster
from muster.model import Job, utc_now

from tests.unit.cli.conftest import Muster


class TestHistory:
    def test_each_transaction_is_a_line_with_its_changes_below(
        self, muster: Muster, cluster: Cluster, job: Job
    ) -> None:
        cluster.drain(["login"], reason="fan broken")
        done = muster("state", "history")
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        heads = [line for line in lines if not line.startswith(" " * 10)]
        assert [head.split()[0] for head in heads] == ["1", "2", "3", "4", "5", "6"]
        assert all("ansible:ann@desk" in head and head.endswith("(play Launch, AWX job 17)") for head in heads)
        assert utc_now().strftime("  %Y-%m-%d ") in heads[0]
        assert "  drain: fan broken  " in heads[5].replace(" (", "  (")
        assert not any(line.strip().startswith("meta") for line in lines), "the store's own counting is nobody's news"
        assert lines[1:3] == ["          nodes gpu1 added", "          nodes login added"]
        assert f"          jobs {job.id}: state RUNNING -> SUCCEEDED" in lines
        assert f"          leases {job.id}.1.gpu1 removed" in lines
        assert '          nodes login: admin.reason "" -> fan broken' in lines
        assert "          nodes login: admin.state enabled -> drained" in lines

    def test_it_can_be_asked_for_a_node_a_job_and_a_time(self, muster: Muster, cluster: Cluster, job: Job) -> None:
        cluster.drain(["login"], reason="fan broken")

        def serials(*words: str) -> list[int]:
            return [record["serial"] for record in json.loads(muster("state", "history", "--json", *words).stdout)]

        assert serials() == [1, 2, 3, 4, 5, 6]
        assert serials("--node", "login") == [1, 6]
        assert serials("--job", "ring") == serials("--job", job.id) == [2, 3, 4, 5]
        assert serials("--job", "ring", "--node", "gpu1") == [2, 3, 5]
        assert serials("--since", "1h") == [1, 2, 3, 4, 5, 6]
        assert serials("--since", "2026-01-01", "--node", "login") == [1, 6]
        assert serials("--since", "2126-01-01") == []

    def test_a_program_gets_before_and_after_whole(self, muster: Muster, cluster: Cluster, job: Job) -> None:
        long = "fan broken " * 30
        cluster.drain(["login"], reason=long)
        assert f'admin.reason "" -> {long[:97]}...' in muster("state", "history").stdout
        last = json.loads(muster("state", "history", "--json").stdout)[-1]
        assert last.keys() >= {"serial", "at", "who", "why", "origin", "changes"}
        (change,) = last["changes"]
        assert {"path": ["admin", "reason"], "from": "", "to": long} in change["edits"]

    def test_secrets_are_not_in_it(self, muster: Muster, cluster: Cluster) -> None:
        whole = muster("state", "history", "--json").stdout
        assert '"SEED": "1"' in whole
        assert "hf_abc" not in whole

    def test_nothing_found_is_said(self, muster: Muster, cluster: Cluster) -> None:
        assert muster("state", "history", "--since", "2126-01-01").stdout == "no transaction on record matches\n"

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [(["--node", "gpu9"], "node gpu9 is not in the state"), (["--job", "nix"], "there is no job nix")],
    )
    def test_what_never_was_is_said(self, muster: Muster, cluster: Cluster, words: list[str], sentence: str) -> None:
        done = muster("state", "history", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"muster: {sentence} (")

    def test_the_last_ones_only(self, muster: Muster, cluster: Cluster) -> None:
        whole = json.loads(muster("state", "history", "--json").stdout)
        assert json.loads(muster("state", "history", "--json", "--last", "2").stdout) == whole[-2:]

    def test_a_time_that_is_none_is_one_sentence(self, muster: Muster, cluster: Cluster) -> None:
        done = muster("state", "history", "--since", "yesterday")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(
            "muster: 'yesterday' is no length of time (write it as 30m, 1h, 2d or 4w, or as a date: 20"
        )

    def test_what_is_too_long_for_a_terminal_goes_on_below_itself(self, muster: Muster, cluster: Cluster) -> None:
        cluster.drain(["login"], reason="fan broken " * 8)
        shown = muster("state", "history", "--last", "1", FORCE_COLOR="1", COLUMNS="60").stdout
        below = re.sub(r"\x1b\[[0-9;]*m", "", shown).partition("nodes login: ")[2].splitlines()
        assert len(below) > 3
        assert all(line.startswith(" " * 10) for line in below[1:])

    def test_a_terminal_is_not_steered_by_what_was_written_down(self, muster: Muster, cluster: Cluster) -> None:
        cluster.drain(["login"], reason="fan\x1b]0;title\x07\nbroken\x1b[2J")
        lines = muster("state", "history").stdout.split("\n")
        assert [line for line in lines if "\x1b" in line or line.startswith("broken")] == []
