# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the agent's file: it answers each verb as it was told to, and notes what it was asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCRIPT = """
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
stdin = "" if os.isatty(0) else sys.stdin.read()
with open(here / "asked.jsonl", "a") as asked:
    asked.write(json.dumps({"words": words, "stdin": stdin}) + "\\n")
code, output = json.loads((here / "answers.json").read_text())[words[2]]
print(output)
sys.exit(code)
"""


class ScriptedAgent:
    """An agent below ``state_dir``."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.file = state_dir / "bin" / "muster-agent.pyz"
        self.file.parent.mkdir(parents=True)
        self.file.write_text(SCRIPT)
        self._answers: dict[str, tuple[int, str]] = {}

    def answers(self, verb: str, payload: dict[str, Any], code: int = 0) -> None:
        """From now on answer ``verb`` with this."""
        self.prints(verb, json.dumps({"protocol": 1, "verb": verb, "ok": code == 0, **payload}), code)

    def prints(self, verb: str, output: str, code: int = 0) -> None:
        """From now on print this for ``verb``, JSON or not."""
        self._answers[verb] = (code, output)
        (self.file.parent / "answers.json").write_text(json.dumps(self._answers))

    def asked(self) -> list[tuple[str, list[str], str]]:
        """The calls so far: verb, its options, stdin."""
        lines = (self.file.parent / "asked.jsonl").read_text().splitlines()
        calls = [json.loads(line) for line in lines]
        assert all(call["words"][:2] == ["--state-dir", str(self.state_dir)] for call in calls)
        return [(call["words"][2], call["words"][3:], call["stdin"].rstrip("\n")) for call in calls]
