# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/health.md says of the checks is what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from muster.agent.health.catalogue import BY_NAME, CHECKS, Check
from muster.agent.health.settings import parse

PAGE = Path(__file__).resolve().parents[3] / "docs" / "health.md"
ROW = re.compile(r"\| `([a-z_.]+|own\.FILE)`((?: [!=])*) \| [^|]+ \| ([^|]*)\|")


def rows() -> dict[str, tuple[str, str]]:
    """Name -> (marks, thresholds) of the page's table of checks."""
    found = [ROW.fullmatch(line) for line in PAGE.read_text().splitlines()]
    return {match[1].replace("own.FILE", "own"): (match[2].strip(), match[3].strip()) for match in found if match}


def test_every_check_is_on_the_page_and_no_other() -> None:
    assert list(rows()) == [check.name for check in CHECKS]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_its_marks_and_thresholds_are_right(check: Check) -> None:
    marks, thresholds = rows()[check.name]
    assert marks.split() == ["!"] * check.policy.vital + ["="] * check.policy.latch
    told = "" if check.warning is check.critical is None else f"{_number(check.warning)}, {_number(check.critical)}"
    assert thresholds == told


def _number(value: float | None) -> str:
    return "-" if value is None else "50e6" if value == 50e6 else f"{value:g}"


def test_its_example_of_settings_is_valid() -> None:
    block = PAGE.read_text().split("    muster_health:\n")[1].split("\n\n")[0]
    example = yaml.safe_load("muster_health:\n" + block)["muster_health"]
    assert parse(example, BY_NAME).expect.gpus == 8
