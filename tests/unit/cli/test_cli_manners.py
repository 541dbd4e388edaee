# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How `muster` behaves: where it looks, how it refuses, and what a script can rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from muster.cluster import Cluster
from muster.store import DirectoryStore

from tests.unit.samples import facts, spec

from .conftest import Muster


@pytest.fixture
def cluster(location: Path) -> Cluster:
    cluster = Cluster(DirectoryStore(location), actor="alice")
    cluster.sync_nodes([facts("n1", slots=2)])
    return cluster


def test_the_version_is_told(muster_process: Muster) -> None:
    assert muster_process("--version").stdout == "muster 0.1.0\n"


def test_a_refusal_is_no_traceback_in_a_real_process_either(muster_process: Muster, cluster: Cluster) -> None:
    done = muster_process("job", "xyz")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "muster: there is no job xyz (muster jobs lists them)\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["jobs", "--help"], ["logs", "-h"]])
def test_every_command_explains_itself(muster: Muster, words: list[str]) -> None:
    done = muster(*words)
    assert done.returncode == 0
    assert "Usage: " in done.stdout
    if len(words) == 1:
        for command in ("status", "nodes", "jobs", "job", "logs"):
            assert command in done.stdout


def test_the_store_is_an_option_before_it_is_a_variable(muster: Muster, cluster: Cluster, tmp_path: Path) -> None:
    assert "n1" in muster("nodes").stdout
    assert muster("nodes", "--store", str(tmp_path / "other")).stdout == "no nodes yet: run sync.yml\n"
    assert "n1" in muster("nodes", "--store", str(cluster.store), MUSTER_STORE=str(tmp_path / "other")).stdout


@pytest.mark.parametrize(
    "words",
    [
        ["nodes", "--jsn"],
        ["node"],
        ["job"],
        ["logs", "x", "--rank", "one"],
        ["logs", "x", "--lines", "few"],
        ["logs", "x", "--lines", "-1"],
        ["logs", "x", "--json", "--follow"],
        [],
    ],
)
def test_wrong_usage_is_2_and_goes_to_stderr(muster: Muster, words: list[str]) -> None:
    done = muster(*words)
    assert done.returncode == 2
    assert "Usage: " in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["job", "logs"])
def test_an_unknown_job_is_refused_with_the_nearest_one(muster: Muster, cluster: Cluster, command: str) -> None:
    cluster.submit(spec(name="ring", slots=1))
    done = muster(command, "rign")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "muster: there is no job rign (did you mean ring?)\n"
    assert muster(command, "xyz").stderr == "muster: there is no job xyz (muster jobs lists them)\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "state.json is damaged: its last line is not whole"),
        (b'{"meta": {"1": {"key": "state", "schema": 99}}}', "has schema 99, and this Muster knows schemas up to 2"),
    ],
)
def test_a_state_that_cannot_be_read_is_one_sentence_and_is_left_alone(
    muster: Muster, location: Path, content: bytes, sentence: str
) -> None:
    location.mkdir()
    (location / "state.json").write_bytes(content)
    for command in ("status", "nodes", "jobs"):
        done = muster(command)
        assert (done.returncode, done.stdout) == (1, "")
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
    assert (location / "state.json").read_bytes() == content


def test_a_state_changed_by_hand_is_not_believed_and_said_in_one_sentence(
    muster: Muster, cluster: Cluster, location: Path
) -> None:
    state = location / "state.json"
    whole = muster("nodes").stdout
    cluster.store.compact(who="me")
    state.write_text(state.read_text().replace('"slots":2', '"slots":9'))
    done = muster("nodes")
    assert (done.returncode, done.stdout) == (0, whole), "the journal knows better"
    news = "its checksum is wrong; nothing was lost, and the next change mends it"
    assert done.stderr == f"muster: {state} is damaged: {news}\n"


def test_a_store_of_another_kind_is_one_sentence(muster: Muster) -> None:
    done = muster("nodes", "--store", "https://muster.example.org")
    assert done.returncode == 1
    assert done.stderr == "muster: store https://... is not supported by this version (give a directory)\n"


def test_a_reader_who_leaves_early_sees_no_traceback(
    environment: dict[str, str], cluster: Cluster, location: Path
) -> None:
    for _time in range(300):
        cluster.submit(spec(name="many", slots=1))
    process = subprocess.Popen(
        [sys.executable, "-m", "muster.cli", "jobs", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()
