# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`muster state backup` and `restore`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster
from muster.store import DirectoryStore, back_up, backups, read_backup

from tests.unit.cli.conftest import Muster
from tests.unit.samples import spec


class TestBackup:
    def test_it_says_where_it_is_and_when_there_was_nothing_to_do(
        self, muster: Muster, cluster: Cluster, location: Path
    ) -> None:
        done = muster("state", "backup")
        (path,) = backups(location / "backups")
        assert (done.returncode, done.stdout) == (0, f"wrote {path} (serial 5)\n")
        assert muster("state", "backup").stdout == f"{path} is of serial 5, and nothing has changed since\n"

    def test_where_it_goes_how_it_is_packed_and_how_many_stay(
        self, muster: Muster, cluster: Cluster, tmp_path: Path
    ) -> None:
        place = tmp_path / "far away"
        made = []
        for number in range(3):
            cluster.drain(["login"], reason=f"fan {number}")
            done = muster("state", "backup", "--to", str(place), "--keep", "2", "--gzip")
            made.append(done.stdout.splitlines())
        assert [len(lines) for lines in made] == [1, 1, 2]
        assert made[2][1] == made[0][0].replace("wrote", "removed").replace(" (serial 6)", "")
        left = backups(place)
        assert [path.suffix for path in left] == [".gz", ".gz"]
        assert gzip.decompress(left[1].read_bytes()).startswith(b"{")
        assert read_backup(left[1]).serial == 8

    def test_check_says_what_it_would_do(
        self, muster: Muster, cluster: Cluster, location: Path, content: Callable[[], dict[str, bytes]]
    ) -> None:
        old = back_up(DirectoryStore(location)).path
        cluster.drain(["login"], reason="fan broken")
        before = content()
        lines = muster("state", "backup", "--check", "--keep", "1").stdout.splitlines()
        assert lines[0].startswith(f"would write {location}/backups/state-00000000000000000006-")
        assert lines[1:] == [f"would remove {old}"]
        assert content() == before

    def test_a_program_gets_the_path(self, muster: Muster, cluster: Cluster, location: Path) -> None:
        first = json.loads(muster("state", "backup", "--json").stdout)
        (path,) = backups(location / "backups")
        assert first == {"path": str(path), "serial": 5, "written": True, "removed": []}
        assert json.loads(muster("state", "backup", "--json").stdout) == first | {"written": False}

    @pytest.mark.parametrize("keep", ["0", "-3"])
    def test_at_least_one_stays(self, muster: Muster, cluster: Cluster, keep: str) -> None:
        done = muster("state", "backup", "--keep", keep)
        assert (done.returncode, done.stderr) == (1, f"muster: keep is {keep}, and at least one backup must stay\n")


class TestRestore:
    @pytest.fixture
    def backup(self, cluster: Cluster, location: Path) -> Path:
        """What the state was before a node was drained."""
        path = back_up(DirectoryStore(location)).path
        cluster.drain(["login"], reason="mistake")
        return path

    def test_an_older_state_is_refused_and_then_forced(
        self,
        muster: Muster,
        cluster: Cluster,
        backup: Path,
        location: Path,
        content: Callable[[], dict[str, bytes]],
    ) -> None:
        before = content()
        done = muster("state", "restore", str(backup))
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{backup} is at serial 5, and {location} has reached serial 6" in done.stderr
        assert done.stderr.count("\n") == 1
        assert content() == before
        done = muster("state", "restore", str(backup), "--force", "--check")
        assert (done.returncode, done.stdout.splitlines()[0]) == (
            0,
            f"would restore {backup} (serial 5); 1 transaction undone",
        )
        assert content() == before
        done = muster("state", "restore", str(backup), "--force")
        replaced = backups(location / "backups")[-1]
        assert (done.returncode, done.stdout.splitlines()[:2]) == (
            0,
            [f"restored {backup} (serial 5); 1 transaction undone", f"what it replaced is in {replaced}"],
        )
        assert "sync.yml" in done.stdout
        assert "recover.yml" in done.stdout
        assert cluster.nodes()["login"].admin.state == "enabled"
        heads = [
            line for line in muster("state", "history", "--node", "login").stdout.splitlines() if "  muster:" in line
        ]
        assert [f"restore {backup.name}, serial 5" in line for line in heads] == [True]
        again = muster("state", "restore", str(backup), "--force")
        assert again.stdout == f"the state is as in {backup} (serial 5): nothing was changed\n"

    def test_a_program_gets_what_was_done(self, muster: Muster, cluster: Cluster, backup: Path, location: Path) -> None:
        words = ("state", "restore", str(backup), "--force", "--json")
        expected: dict[str, object] = {"path": str(backup), "serial": 5, "changed": True, "undone": 1, "replaced": None}
        assert json.loads(muster(*words, "--check").stdout) == expected
        done = json.loads(muster(*words).stdout)
        assert done == expected | {"replaced": str(backups(location / "backups")[-1])}
        assert read_backup(Path(done["replaced"])).serial == 6
        assert json.loads(muster(*words).stdout) == expected | {"changed": False, "undone": 0}

    def test_jobs_that_it_lets_go_of_are_named_before_and_after(
        self, muster: Muster, cluster: Cluster, backup: Path
    ) -> None:
        running, _plan = cluster.allocate(spec(name="long", gpus=1))
        done = muster("state", "restore", str(backup), "--force", "--check")
        assert done.stderr == (
            f"muster: long ({running.id}) holds gpu1, and the backup knows nothing of it: "
            f"end it first (release.yml -e muster_release={running.id})\n"
        )
        done = muster("state", "restore", str(backup), "--force", "--json")
        assert done.stderr == (
            f"muster: long ({running.id}) held gpu1, and the state knows nothing of it any more: recover.yml ends what "
            f"still runs of it, unless {json.loads(done.stdout)['replaced']} is restored before\n"
        )
        assert muster("state", "restore", str(backup), "--force").stderr == ""

    def test_without_a_name_it_is_the_newest(
        self, muster: Muster, cluster: Cluster, backup: Path, location: Path
    ) -> None:
        newest = back_up(DirectoryStore(location)).path
        done = muster("state", "restore")
        assert done.stdout == f"the state is as in {newest} (serial 6): nothing was changed\n"

    def test_that_is_the_newest_of_this_cluster(
        self, muster: Muster, cluster: Cluster, backup: Path, location: Path, tmp_path: Path
    ) -> None:
        other = DirectoryStore(tmp_path / "other")
        for number in range(9):
            with other.transaction(who="bob", why="test") as draft:
                draft.put("nodes", {"name": f"o{number}"})
        back_up(other, to=location / "backups")
        done = muster("state", "restore", "--force")
        assert done.stdout.startswith(f"restored {backup} "), done.stdout

    def test_the_state_of_another_cluster_is_refused(
        self, muster: Muster, cluster: Cluster, tmp_path: Path, content: Callable[[], dict[str, bytes]]
    ) -> None:
        other = DirectoryStore(tmp_path / "other")
        for number in range(9):
            with other.transaction(who="bob", why="test") as draft:
                draft.put("nodes", {"name": f"o{number}"})
        foreign, before = back_up(other).path, content()
        done = muster("state", "restore", str(foreign))
        assert done.returncode == 1
        assert f"muster: {foreign} is the state of another cluster: its lineage is " in done.stderr
        assert content() == before

    def test_a_damaged_or_missing_backup_is_one_sentence(
        self,
        muster: Muster,
        backup: Path,
        tmp_path: Path,
        content: Callable[[], dict[str, bytes]],
    ) -> None:
        backup.write_bytes(backup.read_bytes()[:-3])
        before = content()
        for path, sentence in ((backup, "is damaged: "), (tmp_path / "nowhere", "cannot be read: No such file")):
            done = muster("state", "restore", str(path), "--force")
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith(f"muster: {path} {sentence}")
            assert done.stderr.count("\n") == 1
        assert content() == before

    def test_a_destroyed_store_comes_back(self, muster: Muster, backup: Path, location: Path) -> None:
        destroy(location)
        assert muster("nodes").returncode == 1
        done = muster("state", "restore", str(backup), "--force")
        assert done.returncode == 0, done.stderr
        assert f"the damaged files are kept in {location}/damaged/" in done.stderr
        assert "login  idle" in muster("nodes").stdout
        assert muster("state", "verify").returncode == 0

    def test_of_a_destroyed_store_the_newest_backup_is_found_without_a_name(
        self, muster: Muster, cluster: Cluster, backup: Path, location: Path
    ) -> None:
        newest = back_up(DirectoryStore(location)).path
        (location / "backups" / "state-of-affairs.json").write_text("a file of somebody else's")
        destroy(location)
        done = muster("state", "restore", "--force")
        assert done.stdout.startswith(f"restored {newest} "), done.stderr

    def test_that_is_the_newest_that_is_whole(
        self, muster: Muster, cluster: Cluster, backup: Path, location: Path
    ) -> None:
        back_up(DirectoryStore(location)).path.write_bytes(b"")
        destroy(location)
        done = muster("state", "restore", "--force")
        assert done.stdout.startswith(f"restored {backup} "), done.stderr
        for path in backups(location / "backups"):
            path.write_bytes(b"")
        done = muster("state", "restore", "--force")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"muster: no backup in {location}/backups is whole (name a file somewhere else)\n"

    def test_of_a_destroyed_store_with_backups_of_two_clusters_one_must_be_named(
        self, muster: Muster, backup: Path, location: Path, tmp_path: Path
    ) -> None:
        other = DirectoryStore(tmp_path / "other")
        with other.transaction(who="bob", why="test") as draft:
            draft.put("nodes", {"name": "o1"})
        back_up(other, to=location / "backups")
        destroy(location)
        done = muster("state", "restore", "--force")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"muster: {location}/backups has backups of 2 clusters, and no state says which is meant (name one)\n"
        )


def destroy(location: Path) -> None:
    """Leave of the state nothing that can be used."""
    for path in [*location.glob("state.json*"), *location.glob("journal/*")]:
        path.write_bytes(b"garbage")


def test_a_refusal_by_a_real_process_is_no_traceback_either(
    muster_process: Muster, cluster: Cluster, location: Path
) -> None:
    done: Any = muster_process("state", "restore", str(location / "nowhere"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"muster: {location}/nowhere cannot be read")
    assert "Traceback" not in done.stderr
