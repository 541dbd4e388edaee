# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup.yml and restore.yml on a site whose nodes are real: the state goes back, and the next launch goes on."""

from __future__ import annotations

import gzip
import re

import pytest
from muster.cluster import open_cluster
from muster.store import DirectoryStore, back_up, backups, read_backup, verify

from tests.integration.launch.test_bad_input import said
from tests.unit.samples import spec
from tests.unit.store.disk import content

JOB = {"name": "ring", "command": ["true"], "nodes": 3}
SECRETS = {"HF_TOKEN": "hf_by_its_name", "DATABASE": "postgres://me:by_its_url@db/x", "CITY": "by_its_mark"}
WORDS = ["hf_by_its_name", "by_its_url", "by_its_mark"]


def cluster(site):
    return open_cluster(str(site.store), actor="tester")


def store(site):
    return DirectoryStore(site.store)


def changed(run) -> int:
    """How many tasks changed something, as the recap has it; the run went well."""
    assert run.rc == 0, run.out
    return int(re.search(r"changed=(\d+)", run.out)[1])


def destroy(site) -> dict[str, bytes]:
    """Overwrite all that the state is made of; what then lies there."""
    for path in [*site.store.glob("state.json*"), *site.store.glob("journal/*")]:
        path.write_bytes(b"garbage of " + path.name.encode())
    return {name: text for name, text in content(site.store).items() if name.startswith(("state.json", "journal/"))}


def kept_secrets(site) -> list[str]:
    """Which secret values any file of the store has in it, packed ones unpacked."""
    files = [path for path in site.store.rglob("*") if path.is_file()]
    texts = [path.read_bytes() for path in files]
    texts += [gzip.decompress(text) for path, text in zip(files, texts, strict=True) if path.suffix == ".gz"]
    return [word for word in WORDS if any(word.encode() in text for text in texts)]


def test_back_to_a_backup_and_on_from_there(site):
    run = site.play(
        "launch",
        "-vv",
        "--diff",
        job=JOB | {"env": SECRETS, "secrets": ["CITY"]},
        awx_user_name="ann",
        awx_job_id=17,
    )
    assert run.rc == 0, run.out
    assert [word for word in WORDS if word in run.out] == []
    told = list(cluster(site).history(job="ring"))
    assert {record["origin"] for record in told} == {"play Launch a training job, AWX job 17"}
    assert all(record["who"].startswith("ansible:ann@") for record in told)

    run = site.play("backup")
    assert changed(run) == 1
    (backup,) = backups(site.store / "backups")
    serial = read_backup(backup).serial
    assert f"{backup} (serial {serial})" in said(run)
    run = site.play("backup")
    assert changed(run) == 0
    assert "nothing has changed since" in said(run)
    assert kept_secrets(site) == []

    cluster(site).drain(["n2"], reason="a mistake")
    before = content(site.store)
    run = site.play("restore", muster_restore_from=str(backup))
    assert run.rc != 0
    assert f"is at serial {serial}, and {site.store} has reached serial {serial + 1}" in said(run)
    assert "Traceback" not in run.out
    assert content(site.store) == before
    run = site.play("restore", "--check", muster_restore_from=str(backup), muster_restore_force=True)
    assert changed(run) == 1
    assert content(site.store) == before

    run = site.play("restore", muster_restore_from=str(backup), muster_restore_force=True)
    assert changed(run) == 1
    assert "sync.yml reads the nodes anew" in said(run)
    assert cluster(site).nodes()["n2"].admin.state == "enabled"
    assert [read_backup(path).serial for path in backups(site.store / "backups")] == [serial, serial + 1]
    assert changed(site.play("restore", muster_restore_from=str(backup), muster_restore_force=True)) == 0
    assert verify(site.store).problems == []


def test_a_destroyed_store_comes_back_and_its_nodes_obey_it(site):
    """The nodes have seen an epoch that the backup knows nothing of, and refuse whoever comes with it again."""
    waiting = cluster(site).submit(spec(name="waits", slots=1))
    backup = back_up(store(site), to=site.directory / "away").path
    assert site.play("launch", job=JOB).rc == 0
    seen = site.jobs()["ring"]["attempts"][0]["epoch"]
    assert seen == read_backup(backup).epoch + 1
    remains = destroy(site)
    run = site.play("restore", muster_restore_from=str(backup), muster_restore_force=True)
    assert changed(run) == 1
    (aside,) = (site.store / "damaged").iterdir()
    assert f"the damaged files are kept in {aside}" in said(run)
    assert content(aside) == remains
    assert [job["id"] for job in site.table("jobs")] == [waiting.id]
    assert verify(site.store).problems == []
    run = site.play("launch", job=JOB)
    assert run.rc == 0, run.out
    assert site.jobs()["ring"]["state"] == "SUCCEEDED"
    assert site.jobs()["ring"]["attempts"][0]["epoch"] > seen
    assert (site.table("leases"), verify(site.store).problems) == ([], [])


def test_packed_backups_rotate_in_a_directory_of_their_own_and_a_rehearsal_writes_none(site):
    place = site.directory / "far" / "away"
    for _time in range(2):
        cluster(site).submit(spec(name="waits", slots=1))
        back_up(store(site), to=place)
    cluster(site).submit(spec(name="waits", slots=1))
    before, there = site.content() | content(site.store), backups(place)
    asked = {"muster_backup_dir": str(place), "muster_backup_keep": 2, "muster_backup_gzip": "true"}
    assert changed(site.play("backup", "--check", **asked)) == 1
    assert {name: text for name, text in site.content().items() if name != "state/lock"} | content(site.store) == {
        name: text for name, text in before.items() if name != "state/lock"
    }
    assert changed(site.play("backup", **asked)) == 1
    old, new = backups(place)
    assert old == there[1]
    assert new.name.endswith(".json.gz")
    assert read_backup(new).count("jobs") == 3
    assert not (site.store / "backups").exists()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: text[:-1], "is damaged: its last line is not whole"),
        (None, "muster_restore_from must name the backup to go back to"),
    ],
    ids=["damaged", "not named"],
)
def test_what_is_no_backup_is_one_sentence_and_changes_nothing(site, damage, sentence):
    cluster(site).submit(spec(name="waits", slots=1))
    backup = back_up(store(site)).path
    asked = {}
    if damage:
        backup.write_bytes(damage(backup.read_bytes()))
        asked = {"muster_restore_from": str(backup), "muster_restore_force": True}
    before = content(site.store)
    run = site.play("restore", **asked)
    assert run.rc != 0
    assert sentence in said(run)
    assert "Traceback" not in run.out
    assert content(site.store) == before


def test_history_says_which_play_restored(site):
    cluster(site).submit(spec(name="waits", slots=1))
    backup = back_up(store(site)).path
    cluster(site).submit(spec(name="waits", slots=1))
    run = site.play("restore", muster_restore_from=str(backup), muster_restore_force=True, awx_job_id=18)
    assert changed(run) == 1
    *_before, last = cluster(site).history()
    assert last["who"].startswith("ansible:")
    assert last.get("origin") == "play Restore the state, AWX job 18"


def test_a_job_that_prints_its_environment_and_fails_gives_no_secret_away(site):
    job = JOB | {
        "command": ["sh", "-c", "printenv HF_TOKEN DATABASE CITY; exit 3"],
        "nodes": 1,
        "slots_per_node": 1,  # of two ranks either might be the first to fail
        "env": SECRETS,
        "secrets": ["CITY"],
    }
    run = site.play("launch", job=job)
    assert run.rc != 0
    assert "last lines of rank 0" in run.out
    assert site.jobs()["ring"]["state"] == "FAILED"
    assert (kept_secrets(site), [word for word in WORDS if word in run.out]) == ([], [])
