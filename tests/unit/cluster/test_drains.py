# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is unwell is drained and who is well again is resumed: only by who drained it, and never too many at once."""

from __future__ import annotations

from typing import Any

import pytest
from muster.cluster import Cluster, Drains
from muster.model import Health, NoCapacity

from tests.unit.cluster.test_life_of_a_job import started
from tests.unit.samples import Clock, facts, spec

LOST = "GPU 3 has fallen off the bus"
SICK = Health(state="unhealthy", vital=True, check="gpu.lost", reason=LOST, last_check="2026-11-29T12:00:00Z")
WELL = Health(state="healthy", score=100)


def judged(cluster: Cluster, **states: Health) -> Drains:
    return cluster.judge_nodes(states)[1]


def admin(cluster: Cluster, name: str) -> tuple[str, str]:
    found = cluster.nodes()[name].admin
    return found.state, found.reason


def test_an_unhealthy_node_is_drained_with_the_reason_and_resumed_when_it_is_well(cluster: Cluster) -> None:
    assert judged(cluster, n1=SICK, n2=WELL) == Drains(["n1"], [], [])
    assert admin(cluster, "n1") == ("drained", f"health: gpu.lost: {LOST}")
    assert admin(cluster, "n2")[0] == "enabled"
    assert judged(cluster, n1=SICK) == Drains(), "it is drained already"
    assert judged(cluster, n1=WELL) == Drains([], ["n1"], [])
    assert admin(cluster, "n1") == ("enabled", "")
    assert judged(cluster, n1=WELL) == Drains()


def test_what_runs_there_is_left_alone_and_new_jobs_go_elsewhere(cluster: Cluster) -> None:
    job = started(cluster, nodes=3)
    judged(cluster, n1=SICK)
    assert cluster.job(job.id).state == "RUNNING"
    assert len(cluster.leases(job.id)) == 3
    cluster.release(job.id, cleared=["n1", "n2", "n3"])
    assert {lease.node for lease in _placed(cluster, nodes=2)} == {"n2", "n3"}
    with pytest.raises(NoCapacity):
        cluster.allocate(spec(nodes=1))


def _placed(cluster: Cluster, **asked: Any) -> Any:
    return cluster.leases(cluster.allocate(spec(**asked))[0].id)


def test_a_drain_that_a_person_has_set_is_not_lifted(cluster: Cluster) -> None:
    cluster.drain(["n1"], reason="a fan is replaced")
    assert judged(cluster, n1=SICK) == Drains()
    assert judged(cluster, n1=WELL) == Drains()
    assert admin(cluster, "n1") == ("drained", "a fan is replaced")


def test_a_person_may_take_over_a_drain(cluster: Cluster) -> None:
    judged(cluster, n1=SICK)
    cluster.drain(["n1"], reason="the GPU is replaced on Tuesday")
    assert judged(cluster, n1=WELL) == Drains()
    assert admin(cluster, "n1") == ("drained", "the GPU is replaced on Tuesday")


def test_a_drain_of_a_person_is_told_by_its_time_and_not_by_its_words(cluster: Cluster, clock: Clock) -> None:
    judged(cluster, n1=SICK)
    clock.passes(60)
    cluster.drain(["n1"], reason=f"health: gpu.lost: {LOST}, and I keep it out")
    assert judged(cluster, n1=WELL) == Drains()


def test_nodes_that_flap_use_up_the_limit_as_well(cluster: Cluster, clock: Clock) -> None:
    assert judged(cluster, n1=SICK).drained == ["n1"]
    clock.passes(60)
    assert judged(cluster, n1=WELL, n2=SICK) == Drains([], ["n1"], ["n2"])
    clock.passes(60)
    assert judged(cluster, n1=SICK) == Drains([], [], ["n1"])


@pytest.mark.parametrize(
    "health",
    [
        Health(state="degraded", check="gpu.pcie"),
        Health(state="unknown", reason="the monitor does not run"),
        Health(state="unhealthy", vital=False, reason="less than 90 % of the checks pass"),
    ],
)
def test_what_is_not_certain_or_not_vital_drains_nothing(cluster: Cluster, health: Health) -> None:
    assert judged(cluster, n1=health) == Drains()


def test_silence_lifts_no_drain(cluster: Cluster) -> None:
    judged(cluster, n1=SICK)
    assert judged(cluster, n1=Health(state="unknown", reason="no route")) == Drains()
    assert judged(cluster, n2=WELL) == Drains(), "nor what is said of others"
    assert admin(cluster, "n1")[0] == "drained"


def test_it_may_be_left_out(cluster: Cluster) -> None:
    assert cluster.judge_nodes({"n1": SICK}, drain=False)[1] == Drains()
    assert admin(cluster, "n1")[0] == "enabled"
    assert cluster.nodes()["n1"].health.state == "unhealthy"


def test_of_a_small_cluster_one_node_is_drained_in_ten_minutes(cluster: Cluster, clock: Clock) -> None:
    assert judged(cluster, n1=SICK, n2=SICK, n3=SICK) == Drains(["n1"], [], ["n2", "n3"])
    clock.passes(599)
    assert judged(cluster, n1=SICK, n2=SICK, n3=SICK) == Drains([], [], ["n2", "n3"])
    clock.passes(2)
    assert judged(cluster, n1=SICK, n2=SICK, n3=SICK) == Drains(["n2"], [], ["n3"])


def test_of_a_large_cluster_a_tenth(cluster: Cluster, clock: Clock) -> None:
    names = [f"g{number}" for number in range(1, 48)]
    cluster.sync_nodes([facts(name) for name in names])
    assert len(cluster.nodes()) == 50
    drains = judged(cluster, **dict.fromkeys(names, SICK))
    assert (drains.drained, len(drains.spared)) == (["g1", "g2", "g3", "g4", "g5"], 42)
    assert judged(cluster, g6=SICK) == Drains([], [], ["g6"])


def test_all_of_it_is_one_transaction(cluster: Cluster) -> None:
    before = cluster.store.read().serial
    judged(cluster, n1=SICK, n2=WELL, n3=WELL)
    assert cluster.store.read().serial == before + 1


def test_since_when_is_kept_while_the_verdict_is_the_same(cluster: Cluster, clock: Clock) -> None:
    judged(cluster, n1=SICK)
    since = cluster.nodes()["n1"].health.at
    clock.passes(60)
    again = {"score": 47, "last_check": "2026-11-29T12:01:00Z", "reason": "GPU 3 has fallen off the bus again"}
    judged(cluster, n1=SICK.model_copy(update=again))
    kept = cluster.nodes()["n1"].health
    assert (kept.at, kept.last_check, kept.score) == (since, "2026-11-29T12:01:00Z", 47)
    judged(cluster, n1=Health(state="unknown", reason="no route"))
    gone = cluster.nodes()["n1"].health
    assert gone.at != since
    assert gone.last_check == "2026-11-29T12:01:00Z", "it was looked at then, and not since"


def test_nodes_that_the_state_does_not_know_are_passed_over(cluster: Cluster) -> None:
    changes, drains = cluster.judge_nodes({"n9": SICK})
    assert (changes, drains) == ([], Drains())
