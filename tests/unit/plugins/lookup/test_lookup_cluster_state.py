# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup as templates use it, over a real store."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.muster.training.plugins.module_utils.cluster import Cluster
from ansible_collections.muster.training.plugins.module_utils.model import JobSpec, NodeFacts
from ansible_collections.muster.training.plugins.plugin_utils.state_reader import current_view

Look = Callable[..., list[Any]]


@pytest.fixture
def look(location: str) -> Look:
    """``query('muster.training.cluster_state', ...)`` on the test's store."""

    def run(*terms: str, variables: dict[str, Any] | None = None, **options: Any) -> list[Any]:
        loader = DataLoader()
        templar = Templar(loader=loader, variables=variables or {})
        plugin = lookup_loader.get("muster.training.cluster_state", loader=loader, templar=templar)
        if "muster_store" not in (variables or {}):
            options.setdefault("store", location)
        found: list[Any] = plugin.run(list(terms), variables=variables or {}, **options)
        return found

    return run


def settle(location: str) -> None:
    """Make the store look as if nothing had been written to it for a while, as is usual."""
    old = time.time() - 60
    for path in Path(location).iterdir():
        os.utime(path, (old, old))


def test_documents_have_everything_derived_filled_in(cluster: Cluster, look: Look) -> None:
    rows = {row["name"]: row for row in look("nodes")}
    assert list(rows) == ["g1", "n1", "n2", "n3"]
    assert (rows["n1"]["status"], rows["n1"]["free"], rows["g1"]["gpu_model"]) == ("idle", 2, "NVIDIA H100 80GB HBM3")


def test_one_by_name_is_a_list_of_one_and_an_unknown_one_of_none(cluster: Cluster, look: Look) -> None:
    assert [row["address"] for row in look("nodes", name="n2")] == ["10.0.0.2"]
    assert look("nodes", name="n9") == []


def test_a_field_of_each_and_null_where_it_is_missing(cluster: Cluster, look: Look) -> None:
    assert look("nodes", field="labels.rack") == [None, "r1", "r2", "r2"]
    assert look("nodes", field="name", where={"labels.rack": "r2"}) == ["n2", "n3"]


def test_several_tables_come_one_after_the_other(cluster: Cluster, look: Look, spec: Callable[..., JobSpec]) -> None:
    job, _plan = cluster.allocate(spec())
    assert look("jobs", "leases", field="id") == [job.id, *(lease.id for lease in cluster.leases())]


def test_a_store_that_does_not_exist_is_empty_and_stays_away(look: Look, location: str) -> None:
    assert look("nodes") == look("jobs", name="ring") == look("leases", field="anything") == []
    assert not Path(location).exists()


@pytest.mark.parametrize(
    ("terms", "options", "sentence"),
    [
        (["lease"], {}, "there is no table 'lease' (did you mean leases?)"),
        (["nodes"], {"field": "stauts"}, "nodes has no field 'stauts' (did you mean status?)"),
        (["nodes"], {"where": {"label.rack": 1}}, "nodes has no field 'label' (did you mean labels?)"),
        (["nodes"], {"feild": "name"}, "there is no option 'feild' (did you mean field?)"),
        (["nodes"], {"store": "https://muster.example"}, "store https://... is not supported"),
    ],
)
def test_a_mistake_is_one_sentence_with_what_was_meant(
    cluster: Cluster, look: Look, terms: list[str], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(AnsibleError) as refused:
        look(*terms, **options)
    assert str(refused.value).startswith(sentence)


def test_a_damaged_state_is_an_error_and_never_an_empty_answer(cluster: Cluster, look: Look, location: str) -> None:
    Path(location, "state.json").write_text("{")
    shutil.rmtree(Path(location, "journal"))
    with pytest.raises(AnsibleError, match="is damaged"):
        look("nodes")


def test_the_variable_that_names_the_store_is_templated(cluster: Cluster, look: Look, location: str) -> None:
    variables = {"site": os.path.dirname(location), "muster_store": trust_as_template("{{ site }}/state")}
    assert look("nodes", field="name", variables=variables) == ["g1", "n1", "n2", "n3"]


def test_the_state_is_read_again_only_when_it_has_changed(cluster: Cluster, location: str) -> None:
    settle(location)
    first = current_view(location)
    assert current_view(location) is first
    cluster.drain(["n1"], reason="test")
    assert current_view(location).serial == first.serial + 1
    cluster.contacted(["n2"])
    assert [row["last_seen"] for row in current_view(location).nodes if row["name"] == "n2"] != [None]


def test_what_a_template_does_to_an_answer_does_not_reach_the_next(cluster: Cluster, look: Look, location: str) -> None:
    settle(location)
    look("nodes", name="n1")[0]["labels"]["rack"] = "changed"
    assert look("nodes", name="n1", field="labels.rack") == ["r1"]


def test_no_secret_is_ever_in_an_answer(cluster: Cluster, look: Look, spec: Callable[..., JobSpec]) -> None:
    cluster.submit(spec(env={"HF_TOKEN": "hf_abc", "EPOCHS": "3"}))
    assert "hf_abc" not in json.dumps(look("jobs"))
    assert look("jobs", field="spec.env.EPOCHS") == ["3"]


def test_text_of_the_state_is_never_run_as_a_template(cluster: Cluster, look: Look, location: str) -> None:
    cluster.sync_nodes([NodeFacts(name="n5", address="10.0.0.5", labels={"rack": "{{ 1 + 1 }}"})])
    templar = Templar(loader=DataLoader(), variables={"where": location})
    expression = "lookup('muster.training.cluster_state', 'nodes', name='n5', store=where).labels.rack"
    assert templar.template(trust_as_template("{{ " + expression + " }}")) == "{{ 1 + 1 }}"
