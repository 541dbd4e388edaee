# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many write at once: none of their changes is lost, and nobody waits for ever."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from muster.model import NodeFacts
from muster.store import DirectoryStore

from tests.crash.oracle import acknowledged, check_files, check_rest, history, refuse
from tests.crash.processes import Child
from tests.crash.worker import Place, work
from tests.integration.modules.site import Site, Task, task

HOSTS = 20
CHANGES = int(os.environ.get("MUSTER_CRASH_CHANGES", "10"))
"""How many each host makes; with 500 they are 10,000 together."""
AT_ONCE = 50
"""How many of them in one play."""
COUNTS = 5
WRITERS, TOGETHER = 8, 800


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A directory from which playbooks are run, with twenty hosts."""
    site = Site(tmp_path)
    names = {f"n{number}": {"ansible_connection": "local"} for number in range(HOSTS)}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": names}}))
    return site


def run(site: Site, change: Task, items: range) -> list[dict[str, Any]]:
    """Every host makes the change with each of the items, all hosts at once; what each of them returned."""
    played = site.play(change | {"loop": list(items)}, hosts="all", words=("--forks", str(HOSTS)))
    assert played.rc == 0, played.out
    assert len(played.results) == HOSTS
    return [result for host in played.results for result in host["results"]]


def test_nothing_that_twenty_forks_of_ansible_change_at_once_is_lost(site: Site) -> None:
    facts = {"name": "{{ inventory_hostname }}", "address": "127.0.0.1", "slots": "{{ item }}"}
    for begin in range(1, CHANGES + 1, AT_ONCE):
        items = range(begin, min(begin + AT_ONCE, CHANGES + 1))
        assert all(result["changed"] for result in run(site, task("node", nodes=[facts]), items))
    tables = DirectoryStore(site.store, tell=refuse).read()
    assert tables.serial == HOSTS * CHANGES
    assert {node["name"]: node["slots"] for node in tables.all("nodes")} == {f"n{n}": CHANGES for n in range(HOSTS)}
    assert [record["serial"] for record in history(site.store)] == list(range(1, tables.serial + 1))
    check_files(site.store)


def test_a_counter_that_twenty_forks_of_ansible_raise_at_once_counts_every_time(site: Site) -> None:
    site.cluster().sync_nodes([NodeFacts(name="large", address="127.0.0.1", slots=HOSTS * COUNTS)])
    job = {"name": "count", "command": ["true"], "slots": 1}
    epochs = [result["epoch"] for result in run(site, task("allocation", spec=job), range(COUNTS))]
    assert sorted(epochs) == list(range(1, HOSTS * COUNTS + 1))
    assert DirectoryStore(site.store, tell=refuse).read().epoch == HOSTS * COUNTS
    check_files(site.store)


def test_everybody_makes_progress(tmp_path: Path) -> None:
    place = Place(tmp_path).found()
    writers = [
        Child(tmp_path / f"w{number}.errors", work, place, f"w{number}", number, True, TOGETHER)
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.done()
    shares = {name: sum(1 for _number, serial in lines if serial) for name, lines in acknowledged(place.said).items()}
    tables = check_rest(place.store, place.said)
    assert sum(shares.values()) == tables.serial - 1
    assert min(shares.values()) > TOGETHER / WRITERS / 4, shares
