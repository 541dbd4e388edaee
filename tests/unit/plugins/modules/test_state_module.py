# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``state``: it changes what it says it changes, foresees it in check mode, and refuses in one sentence."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster, Outcome
from ansible_collections.muster.training.plugins.module_utils.model import JobSpec, utc_now
from ansible_collections.muster.training.plugins.module_utils.store import DirectoryStore, read_backup

Run = Callable[..., dict[str, Any]]
WITNESS_BYTES = 30


@pytest.fixture
def run_module(run_module: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Without what Ansible adds to every result that has a key `path`: see the first test."""
    monkeypatch.setattr(AnsibleModule, "add_path_info", lambda _module, result: result)
    return run_module


@pytest.fixture
def content(location: str) -> Callable[[], dict[str, bytes]]:
    """Reads every file of the store, byte for byte; of the lock file what belongs to the state."""

    def read() -> dict[str, bytes]:
        files = [path for path in sorted(Path(location).rglob("*")) if path.is_file()]
        return {str(path): path.read_bytes()[: WITNESS_BYTES if path.name == "lock" else None] for path in files}

    return read


@pytest.fixture
def backup(cluster: Cluster, run_module: Run) -> str:
    """What the state was before a node was drained."""
    made: str = run_module("state", state="backed_up")["file"]
    cluster.drain(["n1"], reason="mistake")
    return made


def administrative(cluster: Cluster, node: str = "n1") -> str:
    return cluster.nodes()[node].admin.state


def test_the_module_returns_what_is_documented_and_no_more(
    run_module: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert run_module("state", state="backed_up")["changed"]


class TestBackedUp:
    def test_a_backup_is_written_once_and_foreseen(
        self, run_module: Run, cluster: Cluster, location: str, content: Callable[[], dict[str, bytes]]
    ) -> None:
        before = content()
        foreseen = run_module("state", state="backed_up", check_mode=True)
        assert (foreseen["changed"], foreseen["serial"]) == (True, 1)
        assert content() == before
        made = run_module("state", state="backed_up")
        assert (made["changed"], made["serial"], made["removed"]) == (True, 1, [])
        assert Path(made["file"]).parent == Path(location, "backups")
        assert read_backup(Path(made["file"])).count("nodes") == 4
        for check_mode in (True, False):
            again = run_module("state", state="backed_up", check_mode=check_mode)
            assert (again["changed"], again["file"], again["serial"]) == (False, made["file"], 1)

    def test_where_it_goes_how_it_is_packed_and_how_many_stay(
        self, run_module: Run, cluster: Cluster, tmp_path: Path
    ) -> None:
        made = []
        for number in range(3):
            cluster.drain(["n1"], reason=f"fan {number}")
            made.append(run_module("state", state="backed_up", path=str(tmp_path / "far"), keep=2, gzip=True))
        assert [result["removed"] for result in made] == [[], [], [made[0]["file"]]]
        assert {str(path) for path in (tmp_path / "far").iterdir()} == {made[1]["file"], made[2]["file"]}
        assert made[2]["file"].endswith(".json.gz")
        assert read_backup(Path(made[2]["file"])).serial == 4

    def test_the_home_directory_may_be_written_short(
        self, run_module: Run, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        made = run_module("state", state="backed_up", path="~/kept")
        assert Path(made["file"]).parent == tmp_path / "kept"

    def test_of_nothing_there_is_none(self, run_module: Run, location: str) -> None:
        for check_mode in (True, False):
            result = run_module("state", state="backed_up", check_mode=check_mode)
            assert (result["failed"], result["error"]["code"]) == (True, "not_found")
            assert "run sync.yml first" in result["msg"]
        assert not Path(location).exists()

    def test_at_least_one_must_stay(self, run_module: Run, cluster: Cluster) -> None:
        result = run_module("state", state="backed_up", keep=0)
        assert (result["failed"], result["error"]["code"]) == (True, "invalid_input")


class TestRestored:
    def test_an_older_state_is_refused_foreseen_restored_and_then_there(
        self, run_module: Run, cluster: Cluster, location: str, backup: str, content: Callable[[], dict[str, bytes]]
    ) -> None:
        before = content()
        for check_mode in (True, False):
            refused = run_module("state", state="restored", path=backup, check_mode=check_mode)
            assert (refused["failed"], refused["changed"]) == (True, False)
            assert refused["error"]["code"] == "invalid_input"
            assert "is at serial 1, and " in refused["error"]["message"]
            assert "use force" in refused["error"]["hint"]
        foreseen = run_module("state", state="restored", path=backup, force=True, check_mode=True)
        assert (foreseen["changed"], foreseen["serial"], foreseen["file"]) == (True, 1, backup)
        assert content() == before
        assert administrative(cluster) == "drained"
        assert (foreseen["undone"], foreseen["replaced"]) == (1, None)
        done = run_module("state", state="restored", path=backup, force=True)
        assert done == foreseen | {"replaced": done["replaced"]}
        assert Path(done["replaced"]).name.startswith("state-00000000000000000002-")
        assert administrative(cluster) == "enabled"
        for check_mode in (True, False):
            again = run_module("state", state="restored", path=backup, force=True, check_mode=check_mode)
            assert again == foreseen | {"changed": False, "undone": 0}
        assert len(list(Path(location, "backups").iterdir())) >= 2, "what was replaced is kept"
        last = list(cluster.history())[-1]
        assert last["who"].startswith("ansible:")
        assert last["why"] == f"restore {Path(backup).name}, serial 1"

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            ({"state": "verified", "path": "/srv/backup.json"}, "path means nothing with state=verified"),
            ({"state": "backed_up", "jobs_older_than": "1d"}, "jobs_older_than means nothing with state=backed_up"),
            ({"state": "compacted", "keep": 3}, "keep means nothing with state=compacted (it is for backed_up)"),
        ],
    )
    def test_what_would_be_ignored_is_refused(
        self, run_module: Run, cluster: Cluster, words: dict[str, Any], sentence: str
    ) -> None:
        result = run_module("state", **words)
        assert (result["failed"], result["error"]["code"]) == (True, "invalid_input")
        assert sentence in result["msg"]

    def test_it_must_be_said_what_to_restore(self, run_module: Run, cluster: Cluster) -> None:
        result = run_module("state", state="restored")
        assert result["failed"]
        assert "path" in result["msg"]

    @pytest.mark.parametrize(
        ("content_of_it", "code", "sentence"),
        [
            (b"", "damaged", "is damaged"),
            (b"no backup at all\n", "damaged", "is damaged"),
            (
                json.dumps({"meta": {"1": {"key": "state", "schema": 99}}}).encode(),
                "store_error",
                "has schema 99, and this Muster knows schemas up to",
            ),
            (None, "store_error", "cannot be read: No such file"),
        ],
        ids=["empty", "foreign", "newer", "missing"],
    )
    def test_what_is_no_backup_is_refused_even_by_force(
        self,
        run_module: Run,
        cluster: Cluster,
        tmp_path: Path,
        content: Callable[[], dict[str, bytes]],
        content_of_it: bytes | None,
        code: str,
        sentence: str,
    ) -> None:
        path = tmp_path / "backup.json"
        if content_of_it is not None:
            path.write_bytes(content_of_it)
        before = content()
        for check_mode in (True, False):
            result = run_module("state", state="restored", path=str(path), force=True, check_mode=check_mode)
            assert (result["failed"], result["changed"], result["error"]["code"]) == (True, False, code)
            assert f"{path} {sentence}" in result["msg"]
        assert content() == before

    def test_the_state_of_another_cluster_is_refused(
        self, run_module: Run, cluster: Cluster, tmp_path: Path, content: Callable[[], dict[str, bytes]]
    ) -> None:
        other = DirectoryStore(tmp_path / "other")
        for number in range(3):
            with other.transaction(who="bob", why="test") as draft:
                draft.put("nodes", {"name": f"o{number}"})
        foreign = run_module("state", store=str(other), state="backed_up")["file"]
        before = content()
        result = run_module("state", state="restored", path=foreign)
        assert (result["failed"], result["error"]["code"]) == (True, "invalid_input")
        assert "is the state of another cluster: its lineage is " in result["msg"]
        assert content() == before

    def test_a_destroyed_store_comes_back_and_says_where_the_remains_are(
        self, run_module: Run, location: str, backup: str
    ) -> None:
        for path in [*Path(location).glob("state.json*"), *Path(location).glob("journal/*")]:
            path.write_bytes(b"garbage")
        result = run_module("state", state="restored", path=backup, force=True)
        assert result["changed"]
        assert any("the damaged files are kept in " in warning for warning in result["warnings"])
        assert run_module("state", state="verified")["serial"] == 3
        assert len(run_module("node_info")["nodes"]) == 4


class TestVerified:
    def test_a_sound_store_is_counted_and_nothing_changes(
        self, run_module: Run, location: str, backup: str, content: Callable[[], dict[str, bytes]]
    ) -> None:
        before = content()
        for check_mode in (True, False):
            result = run_module("state", state="verified", check_mode=check_mode)
            assert (result["changed"], result["serial"]) == (False, 2)
            assert result["checked"] == {"snapshots": 1, "segments": 1, "transactions": 2, "backups": 1}
        assert content() == before

    def test_whatever_is_not_as_it_was_written_fails_it(
        self, run_module: Run, location: str, backup: str, content: Callable[[], dict[str, bytes]]
    ) -> None:
        Path(backup).write_bytes(Path(backup).read_bytes()[:-2])
        Path(location, "lock").chmod(0o644)
        before = content()
        result = run_module("state", state="verified")
        assert (result["failed"], result["changed"], result["error"]["code"]) == (True, False, "unsound")
        assert f"{backup} is damaged: its last line is not whole; {location}/lock can be read by" in result["msg"]
        assert content() == before


class TestConsistent:
    def test_what_agrees_passes_and_nothing_changes(
        self, run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec], content: Callable[[], dict[str, bytes]]
    ) -> None:
        cluster.allocate(spec())
        before = content()
        for check_mode in (True, False):
            result = run_module("state", state="consistent", check_mode=check_mode)
            assert (result["changed"], result["serial"]) == (False, 2)
        assert content() == before

    def test_what_does_not_fails_with_what_mends_it(
        self, run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]
    ) -> None:
        job, plan = cluster.allocate(spec())
        with cluster.store.transaction(who="somebody", why="by hand") as draft:
            draft.remove("leases", [row["id"] for row in draft.all("leases")])
        result = run_module("state", state="consistent")
        assert (result["failed"], result["error"]["code"]) == (True, "inconsistent")
        message = f"job {job.id} is ALLOCATED and holds no lease on {plan.nodes[0].node}"
        assert result["error"]["message"] == f"{message} (to mend it: release.yml -e muster_release={job.id})"

    def test_where_there_is_nothing_nothing_is_made(self, run_module: Run, location: str) -> None:
        assert run_module("state", state="consistent")["serial"] == 0
        assert not Path(location).exists()


class TestCompacted:
    def test_the_journal_is_folded_once(
        self, run_module: Run, cluster: Cluster, location: str, content: Callable[[], dict[str, bytes]]
    ) -> None:
        before = content()
        foreseen = run_module("state", state="compacted", check_mode=True)
        assert content() == before
        made = run_module("state", state="compacted")
        assert made == foreseen
        assert (made["changed"], made["archived"], made["serial"]) == (True, [], 1)
        assert len(json.loads(Path(location, "state.json").read_text())["nodes"]) == 4
        for check_mode in (True, False):
            assert run_module("state", state="compacted", check_mode=check_mode) == made | {"changed": False}

    def test_old_jobs_leave_the_state_and_not_its_history(
        self, run_module: Run, cluster: Cluster, spec: Callable[..., JobSpec]
    ) -> None:
        past = Cluster(cluster.store, actor="test", clock=lambda: utc_now() - timedelta(days=40))
        job, _plan = past.allocate(spec())
        past.starting(job.id, 1)
        past.running(job.id, 1)
        past.finish(job.id, 1, Outcome("SUCCEEDED"), cleared=["n1", "n2", "n3"])
        assert run_module("state", state="compacted", jobs_older_than="50d")["archived"] == []
        foreseen = run_module("state", state="compacted", jobs_older_than="30d", check_mode=True)
        assert (foreseen["changed"], foreseen["archived"]) == (True, [job.id])
        assert run_module("job_info")["jobs"] != []
        made = run_module("state", state="compacted", jobs_older_than="30d")
        assert (made["changed"], made["archived"]) == (True, [job.id])
        assert run_module("job_info")["jobs"] == []
        assert [record["why"].split()[0] for record in cluster.history(job=job.id)] == [
            "allocate",
            "start",
            "running",
            "succeeded",
            "archive",
        ]
        again = run_module("state", state="compacted", jobs_older_than="30d")
        assert (again["changed"], again["archived"]) == (False, [])

    def test_an_age_that_is_none_is_refused(
        self, run_module: Run, cluster: Cluster, content: Callable[[], dict[str, bytes]]
    ) -> None:
        before = content()
        result = run_module("state", state="compacted", jobs_older_than="old")
        assert (result["failed"], result["error"]["code"]) == (True, "invalid_input")
        assert result["error"]["hint"] == "write it as 30m, 1h, 2d or 4w"
        assert content() == before

    def test_where_there_is_nothing_nothing_is_made(self, run_module: Run, location: str) -> None:
        assert not run_module("state", state="compacted")["changed"]
        assert not Path(location).exists()


CALLS: dict[str, dict[str, Any]] = {
    "backed_up": {},
    "restored": {"path": "/nowhere"},
    "verified": {},
    "consistent": {},
    "compacted": {},
}


@pytest.mark.parametrize("state", CALLS)
def test_a_missing_library_is_named(
    run_module: Run, location: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("ansible_collections.muster.training.plugins.modules.state")
    monkeypatch.setattr(module, "MISSING", ImportError(name="tinydb"))
    result = run_module("state", state=state, **CALLS[state])
    assert "Failed to import the required Python library (tinydb)" in result["msg"]
    assert not Path(location).exists()


@pytest.mark.parametrize("state", CALLS)
def test_a_store_of_a_kind_that_is_not_known_is_refused(run_module: Run, state: str) -> None:
    result = run_module("state", store="mongodb://x", state=state, **CALLS[state])
    assert (result["failed"], result["error"]["code"]) == (True, "invalid_input")
    assert "mongodb" in result["msg"]


@pytest.mark.parametrize("state", ["backed_up", "compacted"])
def test_ruins_are_said_and_left_alone(
    run_module: Run, cluster: Cluster, location: str, content: Callable[[], dict[str, bytes]], state: str
) -> None:
    for path in [Path(location, "state.json"), *Path(location).glob("journal/*")]:
        path.write_bytes(b"garbage")
    before = content()
    result = run_module("state", state=state)
    assert (result["failed"], result["changed"], result["error"]["code"]) == (True, False, "damaged")
    assert f"{location} holds no state that can be used" in result["msg"]
    assert "muster state restore --force" in result["error"]["hint"]
    assert content() == before
