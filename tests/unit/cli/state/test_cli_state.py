# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`muster state show`, `verify` and `compact`, and what all commands have in common."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from muster.cluster import Cluster
from muster.model import Job
from muster.store import Database, DirectoryStore, back_up

from tests.unit.cli.conftest import Muster

COMMANDS = ("show", "history", "verify", "backup", "restore", "compact")


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
        assert muster("state", "history").stdout == "no transaction on record\n"
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
        assert "muster state restore --force" in done.stderr
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
        when, _by, what = found["changed"].partition(" by ")
        assert when == "just now" or when.endswith(" s ago")
        assert what == f"ansible:ann@desk: succeeded {cluster.job('ring').id}"
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

    def test_check_says_what_it_would_do(
        self, muster: Muster, cluster: Cluster, location: Path, content: Callable[[], dict[str, bytes]]
    ) -> None:
        state, before = location / "state.json", content()
        assert muster("state", "compact", "--check").stdout == f"{state} would be at serial 5\n"
        assert muster("state", "compact", "--check", "--jobs-older-than", "30m").stdout.splitlines() == [
            "would archive 1 job: `muster state history --job ID` still has them",
            f"{state} would be at serial 6",
        ]
        assert content() == before
        muster("state", "compact")
        assert muster("state", "compact", "--check").stdout == f"{state} is already at serial 5\n"

    def test_a_program_gets_what_was_done(self, muster: Muster, cluster: Cluster, location: Path, job: Job) -> None:
        state, words = str(location / "state.json"), ["--jobs-older-than", "30m", "--json"]
        expected = {"path": state, "serial": 6, "folded": True, "archived": [job.id]}
        assert json.loads(muster("state", "compact", "--check", *words).stdout) == expected
        assert json.loads(muster("state", "compact", *words).stdout) == expected
        assert json.loads(muster("state", "compact", *words).stdout) == expected | {"folded": False, "archived": []}

    def test_an_age_that_is_none_is_one_sentence_and_changes_nothing(
        self, muster: Muster, cluster: Cluster, content: Callable[[], dict[str, bytes]]
    ) -> None:
        before = content()
        done = muster("state", "compact", "--jobs-older-than", "old")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "muster: 'old' is no length of time (write it as 30m, 1h, 2d or 4w)\n"
        assert content() == before
