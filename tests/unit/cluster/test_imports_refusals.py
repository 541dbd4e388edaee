# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that is none of its kind is refused in one sentence: what is wrong, where, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from muster.cluster import Cluster
from muster.model import InvalidInput

from tests.unit.cluster.importing import AI_HOW, AI_HOW_2, EXPERIMENTS, KIND, UGRO, cluster_at, content, everything
from tests.unit.samples import facts


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A cluster with a node, so that a change of anything would show."""
    cluster = cluster_at(tmp_path / "store")
    cluster.sync_nodes([facts("n1", gpu=1)])
    return cluster


def refusal(cluster: Cluster, kind: str, source: Path | str, **options: Any) -> str:
    """What the import says; nothing may have changed."""
    before = everything(cluster), cluster.store.read().serial
    with pytest.raises(InvalidInput) as raised:
        cluster.import_state(kind, source, **options)
    assert (everything(cluster), cluster.store.read().serial) == before
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert raised.value.hint, "it says what to do"
    return sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the text is no JSON: it is empty"),
        (" \n", "the text is no JSON: it is empty"),
        ('{"nodes": {', "the text is no JSON: Expecting property name enclosed in double quotes, line 1 column 12"),
        ("nodes: {}", "the text is no JSON: Expecting value, line 1 column 1"),
        ('{"nodes": {}} {"jobs": {}}', "the text is no JSON: Extra data, line 1 column 15"),
        ('{"nodes": {}, "jobs": {}, "score": NaN}', "the text is no JSON: NaN is no number that JSON has"),
        ('{"nodes": {}, "jobs": {}, "score": 1e999}', "the text is no JSON: the number 1e999 is too large"),
        ('{"nodes": {}, "jobs": {}, "nodes": {}}', "the text is no JSON: it says 'nodes' twice in one object"),
        ("[]", "the text must be a mapping, not []"),
        ("null", "the text must be a mapping, not None"),
        ('"nodes"', "the text must be a mapping, not 'nodes'"),
        ("[" * 100_000, "the text is nested too deeply for a state"),
        ('{"nodes": {}, "jobs": ' + "[" * 70 + "]" * 70 + "}", "the text is nested too deeply for a state"),
        ("{}", "the text is not a cluster_state.json of UGRO: nodes is missing"),
        ('{"nodes": {}}', "the text is not a cluster_state.json of UGRO: jobs is missing"),
        ('{"nodes": [], "jobs": {}}', "the text: nodes: must be a mapping, not []"),
        ('{"nodes": {}, "jobs": {"j": 3}}', "the text: jobs.j: must be a mapping, not 3"),
        ('{"nodes": {"": {"status": "busy"}}, "jobs": {}}', "the text: nodes: has something without a name"),
        ('{"nodes": {}, "jobs": {}, "leases": {}, "meta": {}}', "the text is a state of Muster itself (muster state"),
    ],
    ids=range(19),
)
def test_what_is_no_state_at_all(cluster: Cluster, text: str, said: str) -> None:
    assert refusal(cluster, "ugro", text).startswith(said)


def put(path: str, value: Any) -> Any:
    """A change to a file: this value at this place, or nothing there if it is ``...``."""

    def change(file: Any) -> None:
        *way, last = [int(word) if word.isdigit() else word for word in path.split("/")]
        for word in way:
            file = file[word]
        if value is ...:
            del file[last]
        else:
            file[last] = value

    return change


MUST = "must be a whole number"


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        (UGRO, put("nodes/gpu1/status", "sleeping"), "nodes.gpu1.status: must be available, busy or offline"),
        (UGRO, put("nodes/gpu1/status", ...), "nodes.gpu1.status is missing"),
        (UGRO, put("nodes/gpu1/status", None), "nodes.gpu1.status: must be available, busy or offline, not None"),
        (UGRO, put("nodes/gpu1/status", ["busy"]), "nodes.gpu1.status: must be available, busy or offline"),
        (UGRO, put("nodes/gpu1/vram_gb", "8"), "nodes.gpu1.vram_gb: must be a number, not '8'"),
        (UGRO, put("nodes/gpu1/vram_gb", True), "nodes.gpu1.vram_gb: must be a number, not True"),
        (UGRO, put("nodes/gpu1/health_score", []), "nodes.gpu1.health_score: must be a number, not []"),
        (UGRO, put("nodes/gpu1/running_job_id", 7), "nodes.gpu1.running_job_id: must be a string, not 7"),
        (UGRO, put("nodes/gpu1/gpu", {}), "nodes.gpu1.gpu: must be a string, not {}"),
        (UGRO, put("nodes/gpu1/last_check", "yesterday"), "nodes.gpu1.last_check: must be a time in ISO 8601"),
        (UGRO, put("nodes/gpu1/last_check", ""), "nodes.gpu1.last_check: must be a time in ISO 8601, not ''"),
        (UGRO, put("nodes/gpu1/last_check", 1764000000), "nodes.gpu1.last_check: must be a string"),
        (UGRO, put("nodes/gpu1/last_check", "0001-01-01T00:00:00"), "nodes.gpu1.last_check: must be a time"),
        (UGRO, put("jobs/train-old/status", "queued"), "jobs.train-old.status: must be running, completed or failed"),
        (UGRO, put("jobs/train-old/ranks", "4"), "jobs.train-old.ranks: must be a whole number or a list, not '4'"),
        (UGRO, put("jobs/train-old/ranks", -1), "jobs.train-old.ranks: must be a whole number or a list, not -1"),
        (UGRO, put("jobs/train-old/gpu_nodes", "gpu1"), "jobs.train-old.gpu_nodes must be a list, not a string"),
        (UGRO, put("jobs/train-old/gpu_nodes", ["a", 2]), "jobs.train-old.gpu_nodes.1: must be a string, not 2"),
        (UGRO, put("jobs/train-old/started_at", 5), "jobs.train-old.started_at: must be a time in ISO 8601, not 5"),
        (UGRO, put("jobs/train-old/end_time", "soon"), "jobs.train-old.end_time: must be a time in ISO 8601"),
        (UGRO, put("jobs/..", {"status": "failed"}), "jobs: '..' is no job name"),
        (UGRO, put("jobs/a b", {"status": "failed"}), "jobs: 'a b' is no job name"),
        (UGRO, put("nodes/..", {"status": "available"}), "nodes: '..' is no node name"),
        (UGRO, put("nodes/a\x1b[2J", {"status": "available"}), "nodes: 'a\\x1b[2J' is no node name"),
        (UGRO, put("nodes/" + "a" * 300, {"status": "available"}), "nodes: 'aaaa"),
        (AI_HOW, put("cluster_name", ""), "cluster_name: must not be empty, not ''"),
        (AI_HOW, put("cluster_type", "edge"), "cluster_type: must be hpc or cloud, not 'edge'"),
        (AI_HOW, put("status", "odd"), "status: must be running, stopped, error or partial, not 'odd'"),
        (AI_HOW, put("last_modified", 7), "last_modified: must be a string, not 7"),
        (AI_HOW, put("vms", {}), "vms: must be a list, not {}"),
        (AI_HOW, put("vms/1", "compute-01"), "vms.1: must be a mapping, not 'compute-01'"),
        (AI_HOW, put("vms/1/name", ...), "vms.1.name is missing"),
        (AI_HOW, put("vms/1/name", "controller"), "vms.1: controller is there twice"),
        (AI_HOW, put("vms/1/state", "FLYING"), "vms.1.state: must be one of RUNNING, PAUSED, SHUTOFF"),
        (AI_HOW, put("vms/1/state", 1), "vms.1.state: must be a string, not 1"),
        (AI_HOW, put("vms/1/cpu_cores", "16"), f"vms.1.cpu_cores: {MUST}, not '16'"),
        (AI_HOW, put("vms/1/cpu_cores", 2.5), f"vms.1.cpu_cores: {MUST}, not 2.5"),
        (AI_HOW, put("vms/1/gpu_count", -2), "vms.1.gpu_count: must be at least 0, not -2"),
        (AI_HOW, put("vms/1/gpu_count", True), f"vms.1.gpu_count: {MUST}, not True"),
        (AI_HOW, put("vms/1/volumes", "/a"), "vms.1.volumes must be a list, not a string"),
        (AI_HOW, put("vms/1/created_at", "21.10.2026"), "vms.1.created_at: must be a time in ISO 8601"),
        (AI_HOW, put("networks/0/active_ips", {}), "networks.0.active_ips must be a list, not a mapping"),
        (AI_HOW, put("volumes/1/size_gb", "big"), "volumes.1.size_gb: must be a number, not 'big'"),
        (AI_HOW_2, put("controller", []), "controller: must be a mapping, not []"),
        (AI_HOW_2, put("worker_nodes/0/name", "cloud-lab-controller"), "worker_nodes.0: cloud-lab-controller is there"),
        (AI_HOW_2, put("worker_nodes/0/last_modified", "x"), "worker_nodes.0.last_modified: must be a time"),
        (AI_HOW_2, put("network_config/bridge", ...), "network_config.name: must be a string, not None"),
        (AI_HOW_2, put("storage_pool/volumes", 1), "storage_pool.volumes: must be a list, not 1"),
        (AI_HOW_2, put("storage_pool/volumes/0/created_at", "x"), "storage_pool.volumes.0.created_at: must be a time"),
        (EXPERIMENTS, put("tasks", []), "tasks: must be a mapping, not []"),
        (EXPERIMENTS, put("tasks/exp2_alpha_0_42/status", "done"), "tasks.exp2_alpha_0_42.status: must be pending"),
        (EXPERIMENTS, put("tasks/exp2_alpha_0_42/task_id", "x"), "tasks.exp2_alpha_0_42.task_id: must be exp2_alpha"),
        (EXPERIMENTS, put("tasks/exp2_alpha_0_42/config", []), "tasks.exp2_alpha_0_42.config must be a mapping"),
        (EXPERIMENTS, put("tasks/exp2_alpha_0_42/retry_count", "0"), f"tasks.exp2_alpha_0_42.retry_count: {MUST}"),
        (EXPERIMENTS, put("tasks/exp2_alpha_0_42/assigned_at", "x"), "tasks.exp2_alpha_0_42.assigned_at: must be a"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named_with_its_place(
    cluster: Cluster, tmp_path: Path, path: Path, change: Any, said: str
) -> None:
    file = content(path)
    change(file)
    spoilt = tmp_path / "spoilt.json"
    spoilt.write_text(json.dumps(file), encoding="utf-8")
    sentence = refusal(cluster, KIND[path], spoilt).replace("spoilt.json.", "spoilt.json: ")
    assert sentence.startswith(f"spoilt.json: {said}")


@pytest.mark.parametrize("path", [UGRO, AI_HOW, AI_HOW_2, EXPERIMENTS], ids=lambda path: path.stem)
def test_a_file_cut_at_any_place_is_refused(cluster: Cluster, path: Path) -> None:
    text = path.read_text(encoding="utf-8").rstrip()
    for length in range(0, len(text), 37):
        assert "the text is no JSON" in refusal(cluster, KIND[path], text[:length])


@pytest.mark.parametrize(
    ("kind", "path", "hint"),
    [
        ("ai-how", UGRO, "(it looks like a cluster_state.json of UGRO: kind ugro)"),
        ("muster", EXPERIMENTS, "(it looks like a manager_state.json of the experiment manager: kind experiments)"),
        ("ugro", AI_HOW, "(it looks like a state.json of AI-HOW: kind ai-how)"),
    ],
)
def test_a_file_of_another_kind_is_known_for_what_it_is(cluster: Cluster, kind: str, path: Path, hint: str) -> None:
    assert refusal(cluster, kind, path).endswith(hint)


def test_an_unknown_kind_is_refused_with_the_nearest(cluster: Cluster) -> None:
    assert refusal(cluster, "ai_how", AI_HOW).endswith("(did you mean ai-how?)")
    assert refusal(cluster, "zzz", AI_HOW).endswith("(known are ugro, ai-how, experiments, muster)")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "Europe", "+02:00"])
def test_an_unknown_time_zone_is_refused(cluster: Cluster, zone: str) -> None:
    sentence = refusal(cluster, "ai-how", AI_HOW, timezone=zone)
    assert sentence == f"{zone!r} is no time zone (give a name like Europe/Berlin, or UTC)"


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("0001-01-01T00:00:00", "Asia/Tokyo"),
        ("9999-12-31T23:59:59", "America/New_York"),
        ("0001-01-01T00:00:00+09:00", "UTC"),
    ],
)
def test_a_time_beyond_all_calendars_is_refused(cluster: Cluster, text: str, zone: str) -> None:
    file = {"cluster_name": "lab", "cluster_type": "hpc", "created_at": text}
    assert "created_at: must be a time in ISO 8601" in refusal(cluster, "ai-how", json.dumps(file), timezone=zone)


def test_a_file_that_cannot_be_read_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    assert "No such file or directory" in refusal(cluster, "ugro", tmp_path / "gone.json")
    assert "Is a directory" in refusal(cluster, "ugro", tmp_path)
    packed = tmp_path / "state.json.gz"
    packed.write_bytes(b"\x1f\x8b\x08\x00\xff")
    assert refusal(cluster, "ugro", packed).endswith("(give the state file itself, unpacked)")


def test_a_file_that_a_windows_editor_saved_is_read(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "cluster_state.json"
    path.write_text(UGRO.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert cluster.import_state("ugro", path).changed
