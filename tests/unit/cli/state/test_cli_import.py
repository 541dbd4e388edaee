# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`muster state import` and `export`: the files of other tools, and plain JSON."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from muster.cluster import Cluster, imports
from muster.model import parse

from tests.unit.cli.conftest import Muster

FILES = Path(__file__).resolve().parents[2] / "cluster" / "imports"
OTHERS = {"ugro": "ugro.json", "ai-how": "ai_how.json", "experiments": "experiments.json"}


def test_every_kind_is_offered(muster: Muster) -> None:
    assert OTHERS.keys() | {"muster"} == imports.KINDS.keys()
    said = " ".join(muster("state", "import", "--help", COLUMNS="200").stdout.split())
    assert all(kind in said for kind in imports.KINDS)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_is_taken_over_once_and_what_was_left_out_is_said(
    muster: Muster, location: Path, kind: str, content: Callable[[], dict[str, bytes]]
) -> None:
    words = ("state", "import", "--from", kind, str(FILES / OTHERS[kind]))
    foreseen = muster(*words, "--check")
    assert (foreseen.returncode, foreseen.stderr) == (0, "")
    assert foreseen.stdout.endswith("nothing was written\n")
    assert not location.exists()
    done = muster(*words)
    assert done.stdout == foreseen.stdout.removesuffix("nothing was written\n")
    assert "created" in done.stdout and "note: " in done.stdout
    before = {name: text for name, text in content().items() if name != "lock"}
    again = muster(*words)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "nothing was changed: the state has all of it")
    assert {name: text for name, text in content().items() if name != "lock"} == before


def test_a_program_gets_the_counts_and_the_remarks(muster: Muster) -> None:
    told = json.loads(muster("state", "import", "--from", "ugro", str(FILES / "ugro.json"), "--json").stdout)
    assert told["changed"] is True
    assert told["counts"]["nodes"] == {"created": 6}
    assert told["remarks"]


def test_what_was_imported_is_seen(muster: Muster) -> None:
    muster("state", "import", "--from", "ugro", str(FILES / "ugro.json"))
    assert "gpu-master" in muster("nodes").stdout
    assert "gpt2-xl" in muster("jobs").stdout
    assert "import ugro from ugro.json" in muster("state", "history").stdout


def test_times_without_a_zone_are_those_of_the_zone_that_is_given(muster: Muster, tmp_path: Path) -> None:
    words = ("state", "import", "--from", "ai-how", str(FILES / "ai_how.json"))
    told = muster(*words, "--timezone", "Mars/Olympus")
    assert (told.returncode, told.stdout) == (1, "")
    assert "Mars/Olympus" in told.stderr
    founded = []
    for number, zone in enumerate(("UTC", "Asia/Tokyo")):
        store = str(tmp_path / str(number))
        assert muster(*words, "--timezone", zone, "--store", store).returncode == 0
        (cluster,) = json.loads(muster("state", "export", "--store", store).stdout)["tables"][
            "virtual_clusters"
        ].values()
        founded.append(parse(cluster["created_at"]))
    assert founded[0] - founded[1] == timedelta(hours=9)


@pytest.mark.parametrize(
    ("kind", "file", "sentence"),
    [
        ("ugro", "experiments.json", "experiments.json is not a cluster_state.json of UGRO: nodes is missing"),
        ("slurm", "ugro.json", "'slurm' is no kind of state that can be imported"),
        ("ugro", "nowhere.json", "nowhere.json cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_taken_over_is_one_sentence_and_changes_nothing(
    muster: Muster,
    cluster: Cluster,
    content: Callable[[], dict[str, bytes]],
    kind: str,
    file: str,
    sentence: str,
) -> None:
    before = content()
    done = muster("state", "import", "--from", kind, str(FILES / file))
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert content() == before


def test_an_export_is_plain_json_for_its_owner_and_fills_an_empty_store(
    muster: Muster, cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "export.json"
    done = muster("state", "export", str(file))
    assert done.stdout == f"wrote {file} (serial 5)\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(muster("state", "export").stdout) == json.loads(file.read_text())
    assert "hf_abc" not in file.read_text()
    elsewhere = str(tmp_path / "elsewhere")
    assert muster("state", "import", "--from", "muster", str(file), "--store", elsewhere).returncode == 0
    for command in ("nodes", "jobs"):
        here, there = (
            json.loads(muster(command, "--json", "--store", at).stdout) for at in (str(cluster.store), elsewhere)
        )
        for row in here:
            row.pop("last_seen", None)
        for row in there:
            row.pop("last_seen", None)
        assert there == here


def test_an_export_that_cannot_be_written_is_one_sentence(muster: Muster, cluster: Cluster, tmp_path: Path) -> None:
    done = muster("state", "export", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"muster: {tmp_path} cannot be written: Is a directory (name another file)\n"


def test_an_export_does_not_overwrite_the_store(
    muster: Muster, cluster: Cluster, location: Path, content: Callable[[], dict[str, bytes]]
) -> None:
    before = content()
    done = muster("state", "export", str(location / "state.json"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"muster: {location}/state.json lies in the store itself (name a file somewhere else)\n"
    assert content() == before


def test_of_a_store_without_state_there_is_no_export(muster: Muster, location: Path, tmp_path: Path) -> None:
    done = muster("state", "export", str(tmp_path / "export.json"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"muster: there is no state in {location} to export (run sync.yml first")
    assert not (tmp_path / "export.json").exists()


def test_a_dash_is_the_terminal(muster: Muster, cluster: Cluster) -> None:
    assert muster("state", "export", "-").stdout == muster("state", "export").stdout
