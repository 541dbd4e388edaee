# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`module_defaults: {group/muster.training.cluster: {store: ...}}` names the store for all that take one."""

import ast
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def fragments(module: Path) -> list[str]:
    """The documentation fragments that a module extends."""
    for statement in ast.parse(module.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "DOCUMENTATION":
            return yaml.safe_load(ast.literal_eval(statement.value)).get("extends_documentation_fragment", [])
    raise AssertionError(f"{module} has no DOCUMENTATION")


def test_the_action_group_is_all_modules_that_take_a_store() -> None:
    group = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["cluster"]
    modules = (ROOT / "plugins" / "modules").glob("*.py")
    assert group == sorted(module.stem for module in modules if "muster.training.store" in fragments(module))
