# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old jobs leave the state and stay whole in its history, which tells of a node or a job; secrets are in neither."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster, Outcome
from muster.model import SECRET, InvalidInput, Job, NotFound, iso, utc_now
from muster.store import DirectoryStore, Record, back_up

from tests.unit.samples import Clock, facts, spec

DAY_S = 86400


@pytest.fixture
def clock() -> Clock:
    """Begins now: when a transaction was made is told by the machine's own clock."""
    clock = Clock()
    clock.now = utc_now()
    return clock


@pytest.fixture
def cluster(tmp_path: Path, clock: Clock) -> Cluster:
    """Two nodes without GPUs, of 2 and 1 slots."""
    found = Cluster(DirectoryStore(tmp_path / "store"), actor="alice", origin="play Launch", clock=clock)
    found.sync_nodes([facts("n1", slots=2), facts("n2", slots=1)])
    return found


def started(cluster: Cluster, **asked: Any) -> Job:
    job, _plan = cluster.allocate(spec(**({"slots": 1} | asked)))
    assert job.attempt is not None
    cluster.starting(job.id, job.attempt.epoch)
    return cluster.running(job.id, job.attempt.epoch)


def ended(cluster: Cluster, state: Any = "SUCCEEDED", *, cleared: bool = True, **asked: Any) -> Job:
    job = started(cluster, **asked)
    assert job.attempt is not None
    nodes = [lease.node for lease in cluster.leases(job.id)]
    return cluster.finish(job.id, job.attempt.epoch, Outcome(state), cleared=nodes if cleared else [])


def names(cluster: Cluster) -> list[str]:
    return [job["name"] for job in cluster.view().jobs]


def whys(records: Iterable[Record]) -> list[str]:
    return [record["why"].partition(" ")[0] for record in records]


def changed(records: Iterable[Record]) -> set[tuple[str, str]]:
    """Which documents a part of history tells of."""
    return {(change["table"], change["key"]) for record in records for change in record["changes"]}


class TestRetention:
    def test_ninety_days_after_its_end_a_job_leaves_with_the_next_submission(
        self, cluster: Cluster, clock: Clock
    ) -> None:
        for name, state in (("good", "SUCCEEDED"), ("bad", "FAILED"), ("gone", "LOST")):
            ended(cluster, state, name=name)
        cluster.cancel(cluster.submit(spec(name="unwanted", slots=1)).id, reason="not needed")
        started(cluster, name="runs")
        cluster.submit(spec(name="waits", slots=3))
        clock.passes(89 * DAY_S)
        ended(cluster, name="young")
        assert len(names(cluster)) == 7
        clock.passes(2 * DAY_S)
        cluster.submit(spec(name="new", slots=1))
        assert set(names(cluster)) == {"runs", "waits", "young", "new"}

    def test_a_job_that_may_still_hold_a_node_stays(self, cluster: Cluster, clock: Clock) -> None:
        job = ended(cluster, "LOST", name="stuck", cleared=False)
        clock.passes(100 * DAY_S)
        cluster.submit(spec(name="new", slots=1))
        assert names(cluster) == ["stuck", "new"]
        assert cluster.archive(timedelta(0)) == []
        cluster.release(job.id, cleared=["n1", "n2"])
        assert cluster.archive(timedelta(0)) == [job.id]

    def test_old_jobs_are_looked_for_once_a_day(self, cluster: Cluster, clock: Clock) -> None:
        clock.passes(-100 * DAY_S)
        ended(cluster, name="old")
        clock.passes(90 * DAY_S - 60)
        cluster.submit(spec(name="first", slots=1))
        clock.passes(120)
        cluster.submit(spec(name="second", slots=1))
        assert names(cluster) == ["old", "first", "second"]
        clock.passes(DAY_S)
        cluster.submit(spec(name="third", slots=1))
        assert names(cluster) == ["first", "second", "third"]

    def test_it_is_the_same_transaction(self, cluster: Cluster, clock: Clock) -> None:
        ended(cluster, name="old")
        clock.passes(100 * DAY_S)
        before = cluster.view().serial
        cluster.submit(spec(name="new", slots=1))
        assert cluster.view().serial == before + 1

    def test_sooner_on_request_and_only_what_ended_before(self, cluster: Cluster, clock: Clock) -> None:
        first = ended(cluster, name="first")
        clock.passes(3600)
        second = ended(cluster, name="second")
        clock.passes(1800)
        serial = cluster.view().serial
        rehearsed = Cluster(cluster.store, actor="alice", dry_run=True, clock=clock)
        assert rehearsed.archive(timedelta(hours=1)) == [first.id]
        assert cluster.view().serial == serial
        assert cluster.archive(timedelta(hours=1)) == [first.id]
        assert names(cluster) == ["second"]
        assert cluster.archive(timedelta(hours=1)) == []
        assert cluster.view().serial == serial + 1, "nothing to archive, nothing written"
        assert cluster.archive(timedelta(0)) == [second.id]
        assert names(cluster) == []

    @pytest.mark.parametrize("reference", ["id", "name"])
    def test_an_archived_job_is_whole_in_history_from_its_first_day_to_its_last(
        self, cluster: Cluster, clock: Clock, reference: str
    ) -> None:
        job = ended(cluster, "FAILED", name="old", nodes=2, slots=None)
        last = cluster.store.read().get("jobs", job.id)
        other = ended(cluster, name="other")
        clock.passes(100 * DAY_S)
        cluster.submit(spec(name="new", slots=1))
        assert job.id not in [row["id"] for row in cluster.view().jobs]
        for _fold in range(3):
            cluster.drain(["n1"], reason=f"fan {_fold}")
            cluster.store.compact(who="alice")  # type: ignore[attr-defined]
        told = list(cluster.history(job=job.id if reference == "id" else "old"))
        assert whys(told) == ["allocate", "start", "running", "failed", "submit"]
        assert changed(told) == {("jobs", job.id)} | {("leases", f"{job.id}.1.{node}") for node in ("n1", "n2")}
        (gone,) = told[-1]["changes"]
        assert gone["edits"] == [{"path": [], "from": last}]
        assert ("jobs", other.id) not in changed(told)


class TestHistory:
    def test_every_change_says_by_whom_and_through_what_it_was_made(self, cluster: Cluster) -> None:
        ended(cluster)
        cluster.drain(["n1"], reason="fan broken")
        told = list(cluster.history())
        assert {(record["who"], record["origin"]) for record in told} == {("alice", "play Launch")}
        assert whys(told) == ["sync", "allocate", "start", "running", "succeeded", "drain:"]

    def test_of_a_node_it_tells_what_changed_it_and_who_leased_it(self, cluster: Cluster) -> None:
        first = ended(cluster, name="both", nodes=2, slots=None)
        cluster.drain(["n2"], reason="fan broken")
        second = ended(cluster, name="one")
        told = list(cluster.history(node="n2"))
        assert whys(told) == ["sync", "allocate", "start", "succeeded", "drain:"]
        assert changed(told) == {("nodes", "n2"), ("leases", f"{first.id}.1.n2")}
        assert ("leases", f"{second.id}.1.n1") in changed(cluster.history(node="n1"))

    def test_of_a_job_it_tells_all_runs_of_that_name_or_the_one_of_that_id(self, cluster: Cluster) -> None:
        first, second = ended(cluster, name="ring"), ended(cluster, name="ring")
        ended(cluster, name="other")
        assert whys(cluster.history(job=second.id)) == ["allocate", "start", "running", "succeeded"]
        assert whys(cluster.history(job="ring")) == 2 * ["allocate", "start", "running", "succeeded"]
        both = changed(cluster.history(job="ring"))
        assert {key for table, key in both if table == "jobs"} == {first.id, second.id}
        assert len({key for table, key in both if table == "leases"}) == 2

    def test_of_a_job_on_a_node_it_tells_what_touched_both(self, cluster: Cluster) -> None:
        job = ended(cluster, name="both", nodes=2, slots=None)
        told = list(cluster.history(node="n2", job="both"))
        assert changed(told) == {("leases", f"{job.id}.1.n2")}
        assert whys(told) == ["allocate", "start", "succeeded"]

    @pytest.mark.parametrize("asked", [{"node": "n9"}, {"job": "nix"}, {"node": "n1", "job": "nix"}])
    def test_what_never_was_is_said(self, cluster: Cluster, asked: dict[str, str]) -> None:
        ended(cluster)
        with pytest.raises(NotFound):
            cluster.history(**asked)

    def test_since_is_how_long_ago_or_a_moment(self, cluster: Cluster, clock: Clock) -> None:
        ended(cluster)
        whole = list(cluster.history())
        moment = whole[3]["at"]
        assert list(cluster.history(since="1h")) == whole
        assert list(cluster.history(since=moment)) == whole[3:]
        assert list(cluster.history(since=moment.replace("Z", "+00:00"))) == whole[3:]
        assert list(cluster.history(since=iso(utc_now()))) == []
        clock.passes(2 * 3600)
        assert list(cluster.history(since="1h")) == []
        assert list(cluster.history(since="3h", node="n1")) == list(cluster.history(node="n1"))
        with pytest.raises(InvalidInput, match="'yesterday' is no length of time"):
            list(cluster.history(since="yesterday"))

    @pytest.mark.parametrize(
        "reference",
        ["id", "name"],
    )
    def test_of_a_job_that_was_submitted_before_it_tells_what_came_since(
        self, cluster: Cluster, reference: str
    ) -> None:
        job = ended(cluster, name="ring")
        moment = list(cluster.history())[-1]["at"]
        told = list(cluster.history(job=job.id if reference == "id" else "ring", since=moment))
        assert whys(told) == ["succeeded"]

    def test_it_is_plain_json(self, cluster: Cluster) -> None:
        ended(cluster)
        told = list(cluster.history())
        assert json.loads(json.dumps(told)) == told


SECRETS = {
    "HF_TOKEN": "hf_by_its_name",
    "DATABASE": "postgres://me:by_its_url@db/x",
    "CITY": "by_its_mark",
}
WORDS = [b"hf_by_its_name", b"by_its_url", b"by_its_mark"]


def test_no_file_of_the_store_ever_has_a_secret_in_it(cluster: Cluster, clock: Clock) -> None:
    """Packed ones are unpacked; as the job's life is recorded, folded, backed up, archived and mended."""
    store = cluster.store
    assert isinstance(store, DirectoryStore)

    def seen() -> bytes:
        files = [path for path in store.path.rglob("*") if path.is_file()]
        texts = [path.read_bytes() for path in files]
        texts += [gzip.decompress(path.read_bytes()) for path in files if path.suffix == ".gz"]
        return b"\n".join([*texts, *(path.name.encode() for path in files)])

    asked = {"env": SECRETS | {"SEED": "kept-as-it-is"}, "secrets": ["CITY"], "slots": 1}
    assert cluster.submit(spec(name="waits", **asked)).spec.env["CITY"] == SECRET
    job = ended(cluster, "FAILED", name="ran", **asked)
    for number in range(3):
        back_up(store, packed=number == 1)
        store.compact(who="alice")
        cluster.drain(["n1"], reason=f"fan {number}")
    clock.passes(100 * DAY_S)
    cluster.submit(spec(name="new", **asked))
    assert cluster.view().job("new")["spec"]["env"] == dict.fromkeys(SECRETS, SECRET) | {"SEED": "kept-as-it-is"}
    (store.path / "state.json").write_bytes(b"garbage")
    Cluster(DirectoryStore(store.path, tell=lambda _news: None), actor="alice").resume(["n1"])
    found = seen()
    assert b"kept-as-it-is" in found
    assert list((store.path / "journal").glob("*.gz"))
    assert (store.path / "damaged").is_dir()
    assert job.id.encode() in found
    assert [word for word in WORDS if word in found] == []
