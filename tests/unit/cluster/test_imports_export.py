# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Muster's own state as plain JSON, out and in again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster
from muster.cluster.imports import exported
from muster.model import SECRET, InvalidInput
from muster.store import SCHEMA

from tests.unit.cluster.importing import AI_HOW, EXPERIMENTS, UGRO, cluster_at, everything
from tests.unit.samples import facts, spec


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A cluster with a bit of everything, and gaps in the numbers."""
    cluster = cluster_at(tmp_path / "store")
    cluster.sync_nodes([facts("n1", gpu=4), facts("gone"), facts("n2", slots=3), facts("n10", gpu=2)])
    cluster.remove_nodes(["gone"])
    job, _plan = cluster.allocate(spec(gpus=5, env={"HF_TOKEN": "hf_1", "LANG": "C"}))
    cluster.allocate(spec(slots=1))
    assert job.attempt is not None
    cluster.starting(job.id, job.attempt.epoch)
    cluster.submit(spec(nodes=9))
    cluster.drain(["n10"], reason="fan broken")
    for kind, path in (("ugro", UGRO), ("ai-how", AI_HOW), ("experiments", EXPERIMENTS)):
        cluster.import_state(kind, path)
    with cluster.store.transaction(who="me", why="note") as draft:
        draft.write("tasks", 20, {"title": "buy cables"})
        draft.write("tasks", 21, {"title": "lay cables"})
        draft.write("notes", 7, {"text": "ünïcödé", "parts": [1, 1.0, True, None, {"a": []}]})
    return cluster


@pytest.fixture
def other(tmp_path: Path) -> Cluster:
    return cluster_at(tmp_path / "other")


def export_of(cluster: Cluster) -> Any:
    return json.loads(json.dumps(exported(cluster.store.read())))


def test_an_export_has_all_documents_by_number(cluster: Cluster) -> None:
    found = export_of(cluster)
    tables = cluster.store.read()
    assert (found["schema"], found["lineage"], found["serial"]) == (SCHEMA, tables.lineage, tables.serial)
    expected = {name: {str(n): row for n, row in rows.items()} for name, rows in everything(cluster).items()}
    assert {name: rows for name, rows in found["tables"].items() if rows} == expected
    assert list(found["tables"]["nodes"])[:3] == ["1", "3", "4"]


def test_an_empty_store_gets_all_of_it_under_the_same_numbers(cluster: Cluster, other: Cluster) -> None:
    report = other.import_state("muster", json.dumps(export_of(cluster)))
    assert everything(other) == everything(cluster)
    assert json.dumps(everything(other)) == json.dumps(everything(cluster)), "1, 1.0 and true are three things"
    assert other.store.read().epoch == cluster.store.read().epoch
    assert report.counts["nodes"] == {"created": cluster.store.read().count("nodes")}
    assert any(cluster.lineage() in remark for remark in report.remarks)
    assert other.lineage() != cluster.lineage()


def test_what_came_in_works_on(cluster: Cluster, other: Cluster) -> None:
    other.import_state("muster", json.dumps(export_of(cluster)))
    assert [node["status"] for node in other.view().nodes] == [node["status"] for node in cluster.view().nodes]
    before = other.store.read().epoch
    job, _plan = other.allocate(spec(slots=2))
    assert job.attempt is not None
    assert job.attempt.epoch == before + 1
    (running,) = (job for job in other.view().jobs if job["state"] == "STARTING")
    assert other.running(running["id"], running["epoch"]).state == "RUNNING"


def test_the_same_again_changes_nothing_there_and_here(cluster: Cluster, other: Cluster) -> None:
    text = json.dumps(export_of(cluster))
    other.import_state("muster", text)
    serials = other.store.read().serial, cluster.store.read().serial
    for one in (other, cluster):
        assert not one.import_state("muster", text).changed
    assert (other.store.read().serial, cluster.store.read().serial) == serials


def test_names_that_do_not_clash_are_added_to_what_is_there(cluster: Cluster, other: Cluster) -> None:
    other.sync_nodes([facts("m1"), facts("m2")])
    for _time in range(5):
        other.allocate(spec(slots=1), within=["m1", "m2"])
    epoch = other.store.read().epoch
    report = other.import_state("muster", json.dumps(export_of(cluster)))
    assert set(other.nodes()) == {"m1", "m2", *cluster.nodes()}
    assert len(other.leases()) == 5 + len(cluster.leases())
    assert other.store.read().epoch == epoch, "it was the higher one"
    assert "created" not in report.counts["meta"]
    assert "updated" not in report.counts["meta"]
    assert not other.import_state("muster", json.dumps(export_of(cluster))).changed


def test_the_epoch_only_rises(cluster: Cluster, other: Cluster) -> None:
    other.sync_nodes([facts("m1")])
    other.allocate(spec(slots=1))
    assert other.store.read().epoch == 1
    other.import_state("muster", json.dumps(export_of(cluster)))
    assert other.store.read().epoch == cluster.store.read().epoch == 2


@pytest.mark.parametrize("force", [False, True])
def test_a_name_that_clashes_is_refused_even_with_force(cluster: Cluster, other: Cluster, force: bool) -> None:
    other.sync_nodes([facts("n2", slots=9)])
    before = everything(other)
    with pytest.raises(InvalidInput, match=r"^the text: node n2 is in the state already.*an export goes into an empty"):
        other.import_state("muster", json.dumps(export_of(cluster)), force=force)
    assert everything(other) == before


def test_a_number_that_another_note_has_is_refused(cluster: Cluster, other: Cluster) -> None:
    with other.store.transaction(who="me", why="note") as draft:
        draft.write("tasks", 20, {"title": "buy cables"})
        draft.write("tasks", 21, {"title": "lay cables"})
        draft.write("notes", 7, {"text": "mine"})
    with pytest.raises(InvalidInput, match="document 7 of notes is in the state already"):
        other.import_state("muster", json.dumps(export_of(cluster)))


def test_check_mode_makes_no_store(cluster: Cluster, tmp_path: Path) -> None:
    tried = cluster_at(tmp_path / "third", dry_run=True).import_state("muster", json.dumps(export_of(cluster)))
    assert tried.changed
    assert not (tmp_path / "third").exists()


def test_a_secret_that_was_written_into_an_export_does_not_come_in(cluster: Cluster, other: Cluster) -> None:
    export = export_of(cluster)
    export["tables"]["jobs"]["1"]["spec"]["env"]["HF_TOKEN"] = "hf_secret"
    other.import_state("muster", json.dumps(export))
    assert everything(other)["jobs"][1]["spec"]["env"] == {"HF_TOKEN": SECRET, "LANG": "C"}


def test_a_value_that_the_job_marks_as_a_secret_does_not_come_in_either(cluster: Cluster, other: Cluster) -> None:
    export = export_of(cluster)
    export["tables"]["jobs"]["1"]["spec"] |= {"env": {"DOOR": "sesame"}, "secrets": ["DOOR"]}
    other.import_state("muster", json.dumps(export))
    assert everything(other)["jobs"][1]["spec"]["env"] == {"DOOR": SECRET}


def test_a_document_gets_the_defaults_of_what_it_does_not_say(other: Cluster) -> None:
    node = {"name": "n1", "address": "10.0.0.1", "rack": "of a later version"}
    export = {"schema": SCHEMA, "lineage": "x", "serial": 1, "tables": {"nodes": {"1": node}}}
    other.import_state("muster", json.dumps(export))
    assert everything(other)["nodes"][1] == other.nodes()["n1"].model_dump(mode="json") | node


class TestRefusals:
    """What would not be a state that works is refused, and nothing of it comes in."""

    def refusal(self, cluster: Cluster, other: Cluster, change: Any) -> str:
        export = export_of(cluster)
        change(export, export["tables"])
        with pytest.raises(InvalidInput) as raised:
            other.import_state("muster", json.dumps(export))
        assert raised.value.hint
        assert everything(other) == {}
        return str(raised.value)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda e, t: e.update(schema=SCHEMA + 1), "schema: is 3, and this Muster knows schemas up to 2 (upgrade"),
            (lambda e, t: e.update(schema=1), "schema: must be 2, not 1"),
            (lambda e, t: e.update(schema="2"), "schema: must be 2, not '2'"),
            (lambda e, t: e.update(schema=True), "schema: must be 2, not True"),
            (lambda e, t: e.update(tables=[]), "tables: must be a mapping, not []"),
            (lambda e, t: t.update(nodes=[]), "tables.nodes: must be a mapping, not []"),
            (lambda e, t: t["nodes"].update({"1": []}), "tables.nodes.1: must be a mapping, not []"),
            (lambda e, t: t["nodes"].update({"x": {}}), "tables.nodes.x: is no number of a document"),
            (lambda e, t: t["nodes"].update({"0": {}}), "tables.nodes.0: is no number of a document"),
            (lambda e, t: t["nodes"].update({"01": {}}), "tables.nodes.01: is no number of a document"),
            (lambda e, t: t["nodes"].update({"9" * 5000: {}}), "tables.nodes.99"),
            (lambda e, t: t["nodes"]["1"].pop("name"), "tables.nodes.1.name: must be a string, not None"),
            (lambda e, t: t["nodes"]["1"].update(slots="many"), "tables.nodes.1.slots: must be a whole number"),
            (lambda e, t: t["nodes"]["1"].update(created_at="noon"), "tables.nodes.1.created_at: must be a time"),
            (lambda e, t: t["jobs"]["1"].update(state="DONE"), "tables.jobs.1.state"),
            (lambda e, t: t["jobs"]["1"]["spec"].pop("command"), "tables.jobs.1.spec.command is missing"),
            (
                lambda e, t: t["leases"]["1"].update(until="2026-01-01T00:00:00"),
                "tables.leases.1.until: must be a time",
            ),
            (lambda e, t: t["leases"]["1"].update(id="x"), "tables.leases.1.id: must be "),
            (lambda e, t: t["meta"]["2"].update(epoch="7"), "tables.meta.2.epoch: must be a whole number, not '7'"),
            (
                lambda e, t: t["meta"]["1"].update(at="noon"),
                "tables.meta.1.at: must be a time in ISO 8601 with its zone",
            ),
            (lambda e, t: t["nodes"].pop("1"), "lease "),
            (lambda e, t: t["jobs"].clear(), "lease "),
            (
                lambda e, t: t["nodes"]["4"].update(gpus=t["nodes"]["1"]["gpus"]),
                "nodes n1 and n10 both have GPU GPU-n1",
            ),
            (lambda e, t: t["nodes"].update({"90": t["nodes"]["1"] | {"slots": 1}}), "node n1 is in the state already"),
        ],
        ids=range(24),
    )
    def test_the_fault_is_named_with_its_place(self, cluster: Cluster, other: Cluster, change: Any, said: str) -> None:
        sentence = self.refusal(cluster, other, change)
        assert sentence.replace("the text.", "the text: ").startswith(f"the text: {said}")

    def test_a_gpu_that_two_leases_hold(self, cluster: Cluster, other: Cluster) -> None:
        def change(_export: Any, tables: Any) -> None:
            lease = next(row for row in tables["leases"].values() if row["gpus"])
            job = next(row["id"] for row in tables["jobs"].values() if row["id"] != lease["job"])
            tables["leases"]["99"] = lease | {"job": job, "id": f"{job}.{lease['attempt']}.{lease['node']}"}

        assert "both hold GPU-n" in self.refusal(cluster, other, change)
