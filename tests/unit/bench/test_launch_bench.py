# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the launch benchmark concludes from what it measured; the measuring itself is `make bench-launch`."""

from tests.bench.launch import table, verdicts
from tests.bench.timing import Cost


def taken(*walls_s: float) -> list[Cost]:
    return [Cost(wall_s, cpu_s=wall_s / 2, began_at=0.0) for wall_s in walls_s]


def test_the_medians_decide_not_one_slow_round() -> None:
    costs = {
        "launch.yml, RUNNING": taken(2.0, 2.1, 30.0),
        "ansible ping, cold": taken(3.0, 2.9, 3.1),
        "naive playbook": taken(20.0, 21.0, 22.0),
    }
    assert [met for met, _sentence in verdicts(4, costs)] == [True, True]


def test_a_missed_target_is_said_with_its_numbers() -> None:
    costs = {
        "launch.yml, RUNNING": taken(4.0),
        "ansible ping, cold": taken(3.2),
        "naive playbook": taken(16.0),
    }
    assert verdicts(16, costs) == [
        (False, "MISSED  16 nodes: launch.yml, RUNNING / ansible ping, cold = 1.25 (target: at most 1)"),
        (False, "MISSED  16 nodes: launch.yml, RUNNING / naive playbook = 0.25 (target: at most 0.2)"),
    ]


def test_the_table_shows_each_way_as_a_multiple_of_the_ping() -> None:
    lines = table(4, {"launch.yml": taken(1.5, 1.0, 2.0), "ansible ping, cold": taken(3.0)})
    assert lines[1].split() == ["launch.yml", "1.50", "(1.00-2.00)", "0.75", "0.50"]
