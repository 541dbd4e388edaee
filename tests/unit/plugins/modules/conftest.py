# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules as Ansible runs them: parameters in, one JSON object on stdout."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.muster.training.plugins.modules"
ANSIBLES_OWN = {"changed", "failed", "msg", "diff", "warnings", "invocation"}

Result = dict[str, Any]
Run = Callable[..., Result]


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str], location: str) -> Run:
    """Runs a module by name on the test's store, and checks that all it returns is documented."""

    def run(name: str, *, check_mode: bool = False, diff: bool = False, **params: Any) -> Result:
        module = importlib.import_module(f"{MODULES}.{name}")
        if "muster.training.store" in module.DOCUMENTATION:
            params.setdefault("store", location)
        capsys.readouterr()
        with (
            patch_module_args(params | {"_ansible_check_mode": check_mode, "_ansible_diff": diff}),
            pytest.raises(SystemExit),
        ):
            module.main()
        printed = capsys.readouterr()
        result: Result = json.loads(printed.out)
        if printed.err:  # where Ansible's controller is loaded, a module's warnings go straight to its display
            result.setdefault("warnings", []).append(" ".join(printed.err.split()))
        _assert_documented(result, yaml.safe_load(module.RETURN), name)
        return result

    return run


@pytest.fixture
def content(location: str) -> Callable[[], dict[str, bytes]]:
    """Reads the state, byte for byte; empty if there is none. When nodes were last seen is no part of it."""
    return lambda: {path.name: path.read_bytes() for path in sorted(Path(location).glob("**/*.json*"))}


def _assert_documented(result: Mapping[str, Any], documented: Mapping[str, Any], where: str) -> None:
    for key, value in result.items():
        if key in ANSIBLES_OWN:
            continue
        assert key in documented, f"{where} returns {key}, which RETURN does not know"
        for row in value if isinstance(value, list) else [value]:
            if isinstance(row, Mapping) and "contains" in documented[key]:
                _assert_documented(row, documented[key]["contains"], f"{where}.{key}")
