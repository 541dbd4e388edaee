# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws docs/run.svg, the README's picture: a real run of launch.yml and what `muster` says after it.

`make picture` runs it. The run has a store and nodes of its own in a temporary directory.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 110
COMMANDS = (
    ["ansible-playbook", "playbooks/launch.yml", "-e", "@examples/allreduce.yml"],
    ["muster", "nodes"],
    ["muster", "jobs"],
    ["muster", "logs", "allreduce", "--rank", "0"],
)


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {
            "ANSIBLE_FORCE_COLOR": "1",
            "COLUMNS": str(WIDTH),
            "FORCE_COLOR": "1",
            "MUSTER_DEMO_DIR": directory,
            "MUSTER_STORE": f"{directory}/state",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (" ".join(command), "bold")))
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
            shown = done.stdout.strip("\n").replace(f"{ROOT}/", "")  # the same picture wherever the checkout lies
            console.print(Text.from_ansi(shown + "\n"))
    console.save_svg(str(ROOT / "docs" / "run.svg"), title="muster")


if __name__ == "__main__":
    main()
