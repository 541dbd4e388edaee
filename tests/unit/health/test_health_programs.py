# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that look in our place: what they say, how they end, and that they cannot hold us up."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from muster.agent.health import own, programs, torch_ready
from muster.agent.health.catalogue import BY_NAME
from muster.agent.health.settings import parse

from tests.needs import needs

ENV = {"PATH": os.environ["PATH"]}


def sh(script: str, timeout_s: float = 30.0) -> tuple[int, str]:
    return programs.run(["/bin/sh", "-c", script], ENV, timeout_s)


def test_code_and_output_are_returned() -> None:
    assert sh("echo well; echo badly >&2; exit 3") == (3, "well\nbadly")
    assert sh("kill -TERM $$") == (-15, "")


def test_of_much_output_the_start_and_the_end_are_kept() -> None:
    code, output = sh("echo first; head -c 30000000 /dev/zero | tr '\\0' x; echo; echo last")
    assert (code, output[:6], output[-5:]) == (0, "first\n", "\nlast")
    assert len(output) <= programs.HEAD_BYTES + programs.TAIL_BYTES


def test_one_that_does_not_end_is_killed() -> None:
    begun = time.monotonic()
    with pytest.raises(programs.DidNotEnd):
        sh("sleep 600", 0.5)
    assert time.monotonic() - begun < 20


def test_a_program_is_over_when_it_ends_whoever_holds_its_output() -> None:
    assert sh("setsid sleep 7 & echo done") == (0, "done")


def python(tmp_path: Path, torch: str) -> dict[str, Any]:
    """The answer of an interpreter with this module torch."""
    (tmp_path / "torch.py").write_text(torch)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    settings = parse({"torch": {"python": str(program), "user": "root" if os.geteuid() == 0 else None}}, BY_NAME)
    return torch_ready.read(settings, print)


STUB = """
import sys
__version__ = "2"
float32 = None
class Tensor:
    reshape = lambda self, *shape: self
    __matmul__ = lambda self, other: self
    sum = lambda self: self
    item = lambda self: 529536
arange = lambda *words, **how: Tensor()
class cuda:
    device_count = staticmethod(lambda: 2)
"""


def test_torch_is_asked_among_the_warnings_of_what_it_imports(tmp_path: Path) -> None:
    noise = "print('warning ' * 2000)\nimport atexit; atexit.register(lambda: print('bye', file=sys.stderr))\n"
    assert python(tmp_path, STUB + noise) == {"version": "2", "devices": 2, "wrong": []}


@pytest.mark.parametrize(
    ("torch", "error"),
    [
        ("raise ImportError('no libcudart')", "ImportError: no libcudart"),
        ("import os; os.abort()", "it was killed by signal 6: without a word"),
        ("import os; print('oops', flush=True); os._exit(4)", "it ended with code 4: oops"),
        (STUB + "import atexit, os\natexit.register(os._exit, 5)", "it ended with code 5 after it had answered"),
        (STUB.replace("529536", "1"), ""),
    ],
)
def test_a_torch_that_does_not_work_says_how(tmp_path: Path, torch: str, error: str) -> None:
    found = python(tmp_path, torch)
    assert found.get("error", "") == error
    assert error or found["wrong"] == ["cuda:0", "cuda:1"]


@needs(os.geteuid() == 0, "it is about what root runs")
def test_root_runs_only_what_root_alone_may_write(tmp_path: Path) -> None:
    directory = tmp_path / "checks.d"
    directory.mkdir()
    check = directory / "mine"
    check.write_text("#!/bin/sh\nexit 0\n")
    check.chmod(0o755)
    settings = parse({"own_checks": str(directory)}, BY_NAME)
    assert own.read(settings, print)["found"] == {"mine": {"code": 0, "output": ""}}
    check.chmod(0o777)
    assert "others than root may write to it" in own.read(settings, print)["found"]["mine"]["refused"]
    check.chmod(0o755)
    os.chown(check, 1000, 1000)
    assert "others than root may write to it" in own.read(settings, print)["found"]["mine"]["refused"]
    os.chown(check, 0, 0)
    directory.chmod(0o777 | stat.S_ISVTX)
    assert own.read(settings, print) == {"error": "is not used, for others than root may write to it", "found": {}}
