# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where jobs go: never on what is taken, on as few nodes as can be, neighbours together, and a clear no."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from muster.model import Admin, Health, JobSpec, Lease, NoCapacity, Node, Reachability, natural
from muster.scheduling import Placement, capacities, place

from tests.unit.samples import gpus, lease, node, spec


def placed(asked: JobSpec, nodes: Sequence[Node], leases: Sequence[Lease] = ()) -> list[Placement]:
    return place(asked, capacities(nodes, leases, {"other": "ring (other)"}))


def names(asked: JobSpec, nodes: Sequence[Node], leases: Sequence[Lease] = ()) -> list[str]:
    return [part.node for part in placed(asked, nodes, leases)]


def refusal(asked: JobSpec, nodes: Sequence[Node], leases: Sequence[Lease] = ()) -> NoCapacity:
    with pytest.raises(NoCapacity) as error:
        placed(asked, nodes, leases)
    return error.value


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Node], list[Lease]]:
    """Up to seven nodes with up to four GPUs or slots, partly leased, some of them out of service."""
    trouble: list[dict[str, Any]] = [
        {},
        {},
        {},
        {"admin": Admin(state="drained")},
        {"reachability": Reachability(ok=False)},
        {"health": Health(state="unhealthy")},
    ]
    nodes: list[Node] = []
    leases: list[Lease] = []
    for number in range(draw(st.integers(1, 7))):
        size = draw(st.integers(1, 4))
        size_of = {"gpu": size} if draw(st.booleans()) else {"slots": size}
        labels = draw(st.sampled_from([{}, {"topology": "a"}, {"topology": "b"}]))
        one = node(f"n{number}", labels=labels, **size_of, **draw(st.sampled_from(trouble)))
        nodes.append(one)
        taken = draw(st.integers(0, size))
        if taken:
            leases.append(lease(one, taken, first=draw(st.integers(0, size - taken))))
    return nodes, leases


sizes = st.one_of(
    st.builds(lambda n: {"nodes": n}, st.integers(1, 5)),
    st.builds(lambda n, g: {"nodes": n, "gpus_per_node": g}, st.integers(1, 4), st.integers(1, 4)),
    st.builds(lambda n, s: {"nodes": n, "slots_per_node": s}, st.integers(1, 4), st.integers(1, 4)),
    st.builds(lambda g: {"gpus": g}, st.integers(1, 12)),
    st.builds(lambda s: {"slots": s}, st.integers(1, 12)),
)


def free_of(one: Node, leases: Sequence[Lease]) -> set[Any]:
    taken = [held for held in leases if held.node == one.name]
    if one.gpus:
        return {gpu.uuid for gpu in one.gpus} - {uuid for held in taken for uuid in held.gpus}
    return set(range(one.slots)) - {slot for held in taken for slot in held.slots}


def in_service(one: Node) -> bool:
    return one.reachability.ok is True and one.health.state != "unhealthy" and one.admin.state == "enabled"


@settings(max_examples=400)
@given(clusters(), sizes)
def test_a_placement_is_what_was_asked_for_and_takes_only_what_is_free(
    cluster: tuple[list[Node], list[Lease]], size: dict[str, int]
) -> None:
    nodes, leases = cluster
    by_name = {one.name: one for one in nodes}
    try:
        parts = placed(spec(**size), nodes, leases)
    except NoCapacity:
        return
    assert len({part.node for part in parts}) == len(parts), "no node twice"
    for part in parts:
        one = by_name[part.node]
        assert in_service(one), "what is out of service is never offered"
        assert {*part.gpus, *part.slots} <= free_of(one, leases), "what is leased is never given again"
        assert len({*part.gpus, *part.slots}) == part.processes > 0
        assert bool(part.gpus) is bool(one.gpus), "a node with GPUs gives GPUs, one without gives slots"
        if set(size) == {"nodes"}:
            assert part.processes == (len(one.gpus) or one.slots), "whole nodes"
    each = size.get("gpus_per_node") or size.get("slots_per_node")
    if each:
        assert [part.processes for part in parts] == [each] * size["nodes"]
    elif "nodes" in size:
        assert len(parts) == size["nodes"]
    else:
        assert sum(part.processes for part in parts) == (size.get("gpus") or size.get("slots"))
    if "gpus" in size or "gpus_per_node" in size:
        assert all(part.gpus for part in parts)
    if "slots" in size or "slots_per_node" in size:
        assert all(part.slots for part in parts)


@settings(max_examples=300)
@given(clusters(), sizes)
def test_a_job_is_refused_only_if_no_choice_of_nodes_would_hold_it(
    cluster: tuple[list[Node], list[Lease]], size: dict[str, int]
) -> None:
    nodes, leases = cluster
    fewest = fewest_nodes(size, [one for one in nodes if in_service(one)], leases)
    try:
        parts = placed(spec(**size), nodes, leases)
    except NoCapacity as error:
        assert fewest is None
        could_wait = fewest_nodes(size, [one for one in nodes if in_service(one)], []) is not None
        assert error.permanent is not could_wait, "permanent: not even the end of every job would make room"
    else:
        assert len(parts) == fewest, "packed onto as few nodes as possible"


def fewest_nodes(size: dict[str, int], nodes: Sequence[Node], leases: Sequence[Lease]) -> int | None:
    """By trying every set of nodes."""
    wanted_kind = {"gpus": True, "gpus_per_node": True, "slots": False, "slots_per_node": False}
    kinds = {wanted_kind[key] for key in size if key in wanted_kind}
    offered = [one for one in nodes if not kinds or bool(one.gpus) in kinds]
    free = {one.name: len(free_of(one, leases)) for one in offered}
    each = size.get("gpus_per_node") or size.get("slots_per_node")
    if "nodes" in size:
        enough = [
            one
            for one in offered
            if (free[one.name] >= each if each else free[one.name] == (len(one.gpus) or one.slots))
        ]
        return size["nodes"] if len(enough) >= size["nodes"] else None
    wanted = size.get("gpus") or size.get("slots") or 0
    for count in range(1, len(offered) + 1):
        if any(sum(free[one.name] for one in some) >= wanted for some in combinations(offered, count)):
            return count
    return None


@given(clusters(), sizes)
def test_nodes_come_in_order_of_topology_and_then_of_their_natural_names(
    cluster: tuple[list[Node], list[Lease]], size: dict[str, int]
) -> None:
    nodes, leases = cluster
    labels = {one.name: one.labels for one in nodes}
    try:
        found = names(spec(**size), nodes, leases)
    except NoCapacity:
        return
    assert found == sorted(found, key=lambda name: (labels[name].get("topology", ""), natural(name)))


@given(clusters(), sizes, st.randoms())
def test_the_order_in_which_nodes_became_known_does_not_matter(
    cluster: tuple[list[Node], list[Lease]], size: dict[str, int], random: Any
) -> None:
    nodes, leases = cluster
    shuffled = list(nodes)
    random.shuffle(shuffled)

    def outcome(order: list[Node]) -> object:
        try:
            return placed(spec(**size), order, leases)
        except NoCapacity as error:
            return str(error)

    assert outcome(shuffled) == outcome(nodes)


def test_two_comes_before_ten() -> None:
    assert names(spec(nodes=3), [node("n10"), node("n2"), node("n1")]) == ["n1", "n2", "n10"]


def test_the_topology_orders_before_the_name() -> None:
    racks = {"n1": "rack10", "n2": "rack2", "n3": "rack2"}
    nodes = [node(name, labels={"topology": rack}) for name, rack in racks.items()]
    assert names(spec(nodes=3), nodes) == ["n2", "n3", "n1"]


def test_a_packed_job_takes_the_tightest_hole_and_leaves_the_large_one() -> None:
    nodes = [node("n1", gpu=8), node("n2", gpu=4), node("n3", gpu=2)]
    assert names(spec(gpus=2), nodes) == ["n3"]
    assert names(spec(gpus=3), nodes) == ["n2"]
    assert names(spec(gpus=10), nodes) == ["n1", "n3"]


def test_nodes_with_a_count_are_the_fullest_that_still_have_it() -> None:
    nodes = [node("n1", gpu=8), node("n2", gpu=8), node("n3", gpu=8)]
    assert names(spec(nodes=1, gpus_per_node=2), nodes, [lease(nodes[2], 4)]) == ["n3"]


def test_a_job_stays_in_one_rack_if_a_rack_holds_it() -> None:
    nodes = [node(f"n{i}", gpu=4, labels={"topology": "a" if i < 3 else "b"}) for i in range(5)]
    assert names(spec(nodes=2), nodes) == ["n3", "n4"], "the smaller rack is filled, the larger one stays whole"
    assert names(spec(nodes=3), nodes) == ["n0", "n1", "n2"]
    assert names(spec(nodes=4), nodes) == ["n0", "n1", "n2", "n3"]


def test_a_packed_job_stays_in_one_rack_if_that_takes_no_more_nodes() -> None:
    a, b = {"topology": "a"}, {"topology": "b"}
    nodes = [node("n1", gpu=8, labels=a), node("n2", gpu=8, labels=b), node("n3", gpu=8, labels=b)]
    assert names(spec(gpus=16), nodes) == ["n2", "n3"]
    assert names(spec(gpus=24), nodes) == ["n1", "n2", "n3"]


def test_whole_nodes_are_of_one_kind_if_that_can_be() -> None:
    nodes = [node("c1"), node("g1", gpu=2), node("c2"), node("g2", gpu=2)]
    assert names(spec(nodes=2), nodes) == ["g1", "g2"]
    assert names(spec(nodes=2), nodes, [lease(nodes[1], 1)]) == ["c1", "c2"]
    assert names(spec(nodes=4), nodes) == ["c1", "c2", "g1", "g2"]


def test_only_the_gpus_of_the_model_asked_for_are_given() -> None:
    """A workstation's display card is not what the job was promised."""
    display = gpus("display", 1, model="NVIDIA T400", memory_mib=4096)
    a100 = [one.model_copy(update={"index": one.index + 1}) for one in gpus("n1", 4, "NVIDIA A100 40GB", 40960)]
    mixed = node("n1", gpus=[*display, *a100])
    for constraints in ({"gpu_model": "a100"}, {"min_gpu_memory_mib": 40000}):
        (part,) = placed(spec(gpus=4, constraints=constraints), [mixed])
        assert part.gpus == tuple(gpu.uuid for gpu in a100)
        (part,) = placed(spec(nodes=1, constraints=constraints), [mixed])
        assert part.gpus == tuple(gpu.uuid for gpu in a100)
    assert refusal(spec(gpus=5, constraints={"gpu_model": "a100"}), [mixed]).permanent


class TestRefusals:
    def test_more_than_the_cluster_has_is_permanent_and_shows_the_sizes(self) -> None:
        error = refusal(spec(gpus=9), [node("n1", gpu=8), node("n2", slots=4)])
        assert error.message == "the job asks for 9 GPUs, more than the cluster has"
        assert error.hint == "in service: n1 (8)"
        assert error.permanent

    def test_more_than_is_free_is_temporary_and_says_who_holds_it(self) -> None:
        one = node("n1", gpu=8)
        error = refusal(spec(gpus=4), [one], [lease(one, 5)])
        assert error.message == "the job asks for 4 GPUs; 3 of 8 are free now"
        assert error.hint == "the rest is held by ring (other)"
        assert not error.permanent

    def test_whole_nodes_that_are_partly_taken(self) -> None:
        nodes = [node("n1", gpu=2), node("n2", gpu=2)]
        error = refusal(spec(nodes=2), nodes, [lease(nodes[1], 1)])
        assert error.message == "the job asks for 2 whole nodes; 1 of 2 are free now"
        assert "held by ring (other)" in error.hint

    def test_nodes_with_a_count_that_none_has(self) -> None:
        error = refusal(spec(nodes=1, slots_per_node=9), [node("n1", slots=4)])
        assert str(error) == (
            "the job asks for 1 node with 9 slots each, more than the cluster has (in service: n1 (4))"
        )

    def test_nodes_that_are_out_of_service_are_named_with_their_state(self) -> None:
        nodes = [
            node("n1", gpu=1),
            node("n2", gpu=1, reachability=Reachability(ok=False)),
            node("n3", gpu=1, admin=Admin(state="drained")),
            node("n4", gpu=1, reachability=Reachability()),
        ]
        error = refusal(spec(nodes=2), nodes)
        assert error.message == "the job asks for 2 whole nodes, more than the nodes in service have"
        assert error.hint.endswith("left out: n2 (unreachable), n3 (drained), n4 (unknown)")
        assert error.permanent, "no job that ends would bring them back"

    def test_a_label_nobody_has(self) -> None:
        nodes = [node("n1", labels={"rack": "a10"}), node("n2", labels={"rack": "a2"})]
        error = refusal(spec(nodes=1, constraints={"labels": {"rack": "b"}}), nodes)
        assert str(error) == "no node has the label rack=b (rack is a2, a10)"
        error = refusal(spec(nodes=1, constraints={"labels": {"site": "x"}}), nodes)
        assert str(error) == "no node has the label site=x (no node has a label site)"
        assert error.permanent

    def test_labels_that_no_node_has_together(self) -> None:
        nodes = [node("n1", labels={"rack": "a"}), node("n2", labels={"disk": "nvme"})]
        error = refusal(spec(nodes=1, constraints={"labels": {"rack": "a", "disk": "nvme"}}), nodes)
        assert str(error).startswith("no node has all of the labels rack=a, disk=nvme")

    def test_a_gpu_nobody_has(self) -> None:
        nodes = [node("n1", gpu=1), node("n2")]
        error = refusal(spec(gpus=1, constraints={"gpu_model": "B200"}), nodes)
        assert str(error) == "no node has a B200 (there are: NVIDIA H100 80GB HBM3 with 81559 MiB)"
        error = refusal(spec(nodes=1, constraints={"min_gpu_memory_mib": 90000}), nodes)
        assert str(error).startswith("no node has a GPU with 90000 MiB (there are: NVIDIA H100")
        error = refusal(spec(nodes=1, constraints={"gpu_model": "H100"}), [node("n2")])
        assert str(error) == "no node has a H100 (there is no GPU at all)"

    def test_a_long_list_of_holders_is_cut_short(self) -> None:
        one = node("n1", slots=20)
        held = [lease(one, 1, job=f"j{i:02d}", first=i) for i in range(20)]
        assert "j07, and 12 more" in refusal(spec(slots=1), [one], held).hint


def test_a_node_whose_leased_gpu_vanished_is_not_idle() -> None:
    before = node("n1", gpu=2)
    after = node("n1", gpu=1)
    (capacity,) = capacities([after], [lease(before, 1, first=1)])
    assert capacity.status == "allocated"
    assert refusal(spec(nodes=1), [after], [lease(before, 1, first=1)]).permanent is False


def test_slots_that_were_taken_away_do_not_come_back_with_their_lease() -> None:
    after = node("n1", slots=2)
    (capacity,) = capacities([after], [lease(node("n1", slots=4), 2, first=1)])
    assert capacity.free_slots == (0,)
