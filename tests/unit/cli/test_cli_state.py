# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`muster state`: what there is, what has changed, and looking after it, for people and for scripts."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster, Outcome
from muster.model import Job, utc_now
from muster.store import Database, DirectoryStore, back_up, backups, read_backup

from tests.unit.samples import Clock, facts, spec
from tests.unit.store.disk import content as bytes_of

from .conftest import Muster

COMMANDS = ("show", "history", "verify", "backup", "restore", "compact")


@pytest.fixture
def cluster(location: Path) -> Cluster:
    """Two nodes and a job that ended an hour ago, in five transactions."""
    clock = Clock()
    clock.now = utc_now() - timedelta(minutes=65)
    made = Cluster(DirectoryStore(location), actor="ansible:ann@desk", origin="play Launch, AWX job 17", clock=clock)
    made.sync_nodes([facts("gpu1", gpu=2), facts("login", slots=2)])
    job, _plan = made.allocate(spec(name="ring", gpus=2, env={"HF_TOKEN": "hf_abc", "SEED": "1"}))
    assert job.attempt is not None
    made.starting(job.id, job.attempt.epoch)
    made.running(job.id, job.attempt.epoch)
    clock.passes(300)
    made.finish(job.id, job.attempt.epoch, Outcome("SUCCEEDED"), cleared=["gpu1"])
    return made


@pytest.fixture
def job(cluster: Cluster) -> Job:
    return cluster.job("ring")


@pytest.fixture
def content(location: Path) -> Callable[[], dict[str, bytes]]:
    """Reads every file of the store, byte for byte."""
    return lambda: bytes_of(location)


def told(text: str) -> dict[str, str]:
    """What `show` says, by the word in front."""
    return {line[:10].strip(): line[10:] for line in text.splitlines()}


class TestEmpty:
    """A store that nobody has written, say because its name was mistyped."""

    @pytest.mark.parametrize(
        "command",
        [name if name == "compact" else name for name in COMMANDS],
    )
    def test_no_command_makes_anything(self, muster: Muster, location: Path, command: str) -> None:
        done = muster("state", command)
        assert "Traceback" not in done.stderr
        assert not location.exists()

    def test_each_says_that_there_is_nothing(self, muster: Muster, location: Path) -> None:
        assert muster("state", "show").stdout == f"{location} holds no state yet: run sync.yml\n"
        assert muster("state", "history").stdout == "nothing was changed yet\n"
        assert json.loads(muster("state", "history", "--json").stdout) == []
        assert json.loads(muster("state", "show", "--json").stdout)["serial"] == 0
        for command, sentence in (
            ("backup", f"there is no state in {location} to back up (run sync.yml first, or name the store)"),
            ("restore", f"there is no backup of this cluster in {location}/backups (name the file)"),
        ):
            done = muster("state", command)
            assert (done.returncode, done.stdout, done.stderr) == (1, "", f"muster: {sentence}\n")

    def test_verify_says_it_too(self, muster: Muster, location: Path) -> None:
        done = muster("state", "verify")
        assert f"{location} holds no state" in done.stdout + done.stderr


class TestManners:
    def test_all_of_it_explains_itself(self, muster: Muster) -> None:
        assert "state" in muster("--help").stdout
        listed = muster("state", "--help")
        assert listed.returncode == 0
        for command in COMMANDS:
            assert command in listed.stdout
            done = muster("state", command, "--help")
            assert done.returncode == 0
            assert f"muster state {command} " in done.stdout
            assert "--store" in done.stdout

    @pytest.mark.parametrize(
        "words",
        [
            [],
            ["shwo"],
            ["show", "extra"],
            ["history", "--nod", "n1"],
            ["history", "--node"],
            ["backup", "--keep", "many"],
            ["restore", "one", "two"],
            ["compact", "--gzip"],
        ],
    )
    def test_wrong_usage_is_2_and_explained(self, muster: Muster, cluster: Cluster, words: list[str]) -> None:
        done = muster("state", *words)
        assert done.returncode == 2
        assert "muster state " in done.stdout or "─ Error ─" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_store_of_another_kind_is_one_sentence(self, muster: Muster, command: str) -> None:
        done = muster("state", command, "--store", "https://muster.example.org")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "muster: store https://... is not supported by this version (give a directory)\n"

    @pytest.mark.parametrize(
        "words",
        [
            ["show"],
            ["backup"],
            ["compact"],
            ["compact", "--jobs-older-than", "0s"],
        ],
        ids=" ".join,
    )
    def test_a_state_that_cannot_be_used_is_one_sentence_and_left_alone(
        self,
        muster: Muster,
        cluster: Cluster,
        location: Path,
        content: Callable[[], dict[str, bytes]],
        words: list[str],
    ) -> None:
        for path in [location / "state.json", *(location / "journal").iterdir()]:
            path.write_bytes(b"garbage")
        before = content()
        done = muster("state", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"muster: {location} holds no state that can be used: ")
        assert "muster state restore FILE" in done.stderr
        assert done.stderr.count("\n") == 1
        assert content() == before

    @pytest.mark.parametrize(
        "command",
        [name if name in ("history", "verify", "restore") else name for name in COMMANDS],
    )
    def test_a_store_of_somebody_else_is_one_sentence(
        self, muster: Muster, cluster: Cluster, location: Path, command: str
    ) -> None:
        back_up(DirectoryStore(location))
        muster("state", command)  # whatever has to be imported is, before it cannot be read either
        location.chmod(0)
        me = os.geteuid()
        if me == 0:  # root may read everything
            os.seteuid(65534)
        try:
            done = muster("state", command)
        finally:
            os.seteuid(me)
            location.chmod(0o700)
        assert done.returncode == 1
        assert "Permission denied" in done.stderr
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize("width", ["40", "200"])
    def test_on_a_terminal_of_any_width_nothing_is_cut_off(
        self, muster: Muster, cluster: Cluster, job: Job, location: Path, width: str
    ) -> None:
        back_up(DirectoryStore(location))
        for words in (["show"], ["history"], ["history", "--node", "gpu1"], ["verify"]):
            plain = muster("state", *words).stdout
            shown = re.sub(r"\x1b\[[0-9;]*m", "", muster("state", *words, FORCE_COLOR="1", COLUMNS=width).stdout)
            assert shown.split() == plain.split() or "".join(shown.split()) == "".join(plain.split())
            assert words == ["verify"] or max(map(len, shown.splitlines())) <= int(width)


class TestShow:
    def test_it_says_what_it_is_what_it_holds_and_who_changed_it_last(
        self, muster: Muster, cluster: Cluster, location: Path
    ) -> None:
        backup = back_up(DirectoryStore(location)).path
        done = muster("state", "show")
        assert done.returncode == 0
        assert done.stderr == ""
        found = told(done.stdout)
        assert found["where"] == str(location)
        assert found["lineage"] == cluster.lineage()
        assert found["serial"] == "5 (epoch 1, schema 2)"
        assert found["changed"] == f"just now by ansible:ann@desk: succeeded {cluster.job('ring').id}"
        assert found["holds"] == "jobs 1, leases 0, nodes 2"
        assert found["backups"] == f"1, the newest {backup}"
        assert found["damaged"] == "nothing"
        assert found["journal"].endswith(" in 1 file")

    def test_a_program_gets_numbers_and_paths(self, muster: Muster, cluster: Cluster, location: Path) -> None:
        cluster.store.compact(who="ann")  # type: ignore[attr-defined]
        found = json.loads(muster("state", "show", "--json").stdout)
        assert (found["path"], found["lineage"]) == (str(location), cluster.lineage())
        assert (found["serial"], found["epoch"], found["schema"]) == (5, 1, 2)
        assert {table: found["tables"][table] for table in ("nodes", "jobs", "leases")} == {
            "nodes": 2,
            "jobs": 1,
            "leases": 0,
        }
        assert found["snapshot_bytes"] == (location / "state.json").stat().st_size
        assert found["journal_bytes"] == sum(path.stat().st_size for path in (location / "journal").iterdir())
        assert (found["journal_segments"], found["backups"], found["damaged"]) == (1, [], [])
        assert found["changed"]["who"] == "ansible:ann@desk"

    def test_what_was_kept_aside_is_named(self, muster: Muster, cluster: Cluster, location: Path) -> None:
        (location / "state.json").write_bytes(b"garbage")
        assert "is damaged" in muster("state", "show").stderr
        assert muster("state", "compact").returncode == 0
        (aside,) = (location / "damaged").iterdir()
        done = muster("state", "show")
        assert (told(done.stdout)["damaged"], done.stderr) == (str(aside), "")

    def test_tables_of_the_users_own_are_called_by_their_names(
        self, muster: Muster, cluster: Cluster, location: Path
    ) -> None:
        with Database(location) as db:
            db.insert({"mine": 1})
            db.table("staff").insert({"ann": 1})
        holds = told(muster("state", "show").stdout)["holds"]
        assert holds == "_default 1, jobs 1, leases 0, nodes 2, staff 1"


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
        assert muster("state", "history", "--since", "2126-01-01").stdout == "nothing was changed by that measure\n"

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

    def test_a_terminal_is_not_steered_by_what_was_written_down(self, muster: Muster, cluster: Cluster) -> None:
        cluster.drain(["login"], reason="fan\x1b]0;title\x07\nbroken\x1b[2J")
        lines = muster("state", "history").stdout.split("\n")
        assert [line for line in lines if "\x1b" in line or line.startswith("broken")] == []


class TestVerify:
    def test_a_sound_store_is_one_line(self, muster: Muster, cluster: Cluster, location: Path) -> None:
        back_up(DirectoryStore(location))
        done = muster("state", "verify")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "sound at serial 5: 1 snapshot, 5 transactions in 1 file, 1 backup read\n"

    def test_damage_is_said_and_is_1(
        self, muster: Muster, cluster: Cluster, location: Path, content: Callable[[], dict[str, bytes]]
    ) -> None:
        state = location / "state.json"
        state.write_bytes(state.read_bytes()[:-1])
        (location / "lock").chmod(0o644)
        before = content()
        done = muster("state", "verify")
        assert done.returncode == 1
        assert done.stdout.startswith("NOT SOUND at serial 5: ")
        assert done.stderr.splitlines() == [
            f"muster: {state} is damaged: its last line is not whole",
            f"muster: {location}/lock can be read by others: chmod go= {location}/lock",
        ]
        assert content() == before

    def test_a_program_gets_all_of_it(self, muster: Muster, cluster: Cluster, location: Path) -> None:
        found = json.loads(muster("state", "verify", "--json").stdout)
        assert (found["serial"], found["lineage"], found["problems"], found["notes"]) == (5, cluster.lineage(), [], [])
        (location / "lock").chmod(0o644)
        done = muster("state", "verify", "--json")
        assert (done.returncode, len(json.loads(done.stdout)["problems"])) == (1, 1)

    def test_a_torn_end_is_a_note(self, muster: Muster, cluster: Cluster, location: Path) -> None:
        (segment,) = (location / "journal").iterdir()
        segment.write_bytes(segment.read_bytes() + b'{"serial":')
        done = muster("state", "verify")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[1].startswith(f"note: {segment} ends inside a transaction that was never")


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
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"would restore {backup} (serial 5)")
        assert content() == before
        done = muster("state", "restore", str(backup), "--force")
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"restored {backup} (serial 5)")
        assert "sync.yml" in done.stdout
        assert "release.yml" in done.stdout
        assert cluster.nodes()["login"].admin.state == "enabled"
        heads = [
            line for line in muster("state", "history", "--node", "login").stdout.splitlines() if "  muster:" in line
        ]
        assert [f"restore {backup.name}, serial 5" in line for line in heads] == [True]
        again = muster("state", "restore", str(backup), "--force")
        assert again.stdout == f"the state is as in {backup} (serial 5): nothing was changed\n"

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
        for path in [*location.glob("state.json*"), *location.glob("journal/*")]:
            path.write_bytes(b"garbage")
        assert muster("nodes").returncode == 1
        done = muster("state", "restore", str(backup), "--force")
        assert done.returncode == 0, done.stderr
        assert f"the damaged files are kept in {location}/damaged/" in done.stderr
        assert "login  idle" in muster("nodes").stdout
        assert muster("state", "verify").returncode == 0


class TestCompact:
    def test_the_snapshot_is_as_new_as_the_state(self, muster: Muster, cluster: Cluster, location: Path) -> None:
        state = location / "state.json"
        assert muster("state", "compact").stdout == f"{state} is now at serial 5\n"
        assert muster("state", "compact").stdout == f"{state} is already at serial 5\n"
        assert len(json.loads(state.read_text())["nodes"]) == 2
        assert muster("state", "verify").returncode == 0

    def test_old_jobs_leave_and_history_has_them(self, muster: Muster, cluster: Cluster, job: Job) -> None:
        assert "archived" not in muster("state", "compact", "--jobs-older-than", "2h").stdout
        done = muster("state", "compact", "--jobs-older-than", "30m")
        assert done.stdout.splitlines()[0] == "archived 1 job: `muster state history --job ID` still has them"
        assert json.loads(muster("jobs", "--json").stdout) == []
        told = json.loads(muster("state", "history", "--job", job.id, "--json").stdout)
        assert [record["serial"] for record in told] == [2, 3, 4, 5, 6]
        assert told[-1]["who"].startswith("muster:")

    def test_an_age_that_is_none_is_one_sentence_and_changes_nothing(
        self, muster: Muster, cluster: Cluster, content: Callable[[], dict[str, bytes]]
    ) -> None:
        before = content()
        done = muster("state", "compact", "--jobs-older-than", "old")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "muster: 'old' is no length of time (write it as 30m, 1h, 2d or 4w)\n"
        assert content() == before


def test_a_refusal_by_a_real_process_is_no_traceback_either(
    muster_process: Muster, cluster: Cluster, location: Path
) -> None:
    done: Any = muster_process("state", "restore", str(location / "nowhere"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"muster: {location}/nowhere cannot be read")
    assert "Traceback" not in done.stderr
