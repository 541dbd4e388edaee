# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which store an action plugin takes: its option, the variable, the environment, ansible.cfg."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible import constants as C
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.muster.training.plugins.doc_fragments.store import ModuleDocFragment
from ansible_collections.muster.training.plugins.plugin_utils.store_option import store_option

Ask = Callable[[dict[str, Any], dict[str, Any]], str | None]


@pytest.fixture
def ask() -> Ask:
    """The store of a task with these options and variables."""

    def run(args: dict[str, Any], variables: dict[str, Any]) -> str | None:
        return store_option(args, variables, Templar(loader=DataLoader(), variables=variables))

    return run


@pytest.fixture(autouse=True)
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Gives Ansible an ansible.cfg of the test's own, with this content; at first it is empty."""

    def write(content: str) -> None:
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.cfg"  # a new one each time: Ansible remembers what it read
        file.write_text(content)
        monkeypatch.setattr(C.config, "_config_file", str(file))

    monkeypatch.delenv("MUSTER_STORE", raising=False)
    write("")
    return write


def test_the_sources_count_in_ansibles_own_order(
    ask: Ask, configure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask({}, {}) is None
    configure("[muster]\nstore = /from/ini\n")
    assert ask({}, {}) == "/from/ini"
    monkeypatch.setenv("MUSTER_STORE", "/from/environment")
    assert ask({}, {}) == "/from/environment"
    assert ask({}, {"muster_store": "/from/variable"}) == "/from/variable"
    assert ask({"store": "/from/option"}, {"muster_store": "/from/variable"}) == "/from/option"


def test_a_variable_may_be_a_template_and_comes_out_plain(ask: Ask) -> None:
    variables = {"muster_store": trust_as_template("{{ base }}/state"), "base": "/srv"}
    found = ask({}, variables)
    assert found == "/srv/state"
    assert type(found) is str


def test_what_is_empty_does_not_count(ask: Ask) -> None:
    assert ask({"store": None}, {"muster_store": None}) is None


def test_modules_and_plugins_name_the_same_option() -> None:
    assert "\n  store:" in ModuleDocFragment.DOCUMENTATION
    assert "\n  store:" in ModuleDocFragment.PLUGIN
