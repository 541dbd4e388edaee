# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job that waits for ever is ended, with the stacks of its ranks; one that works is let alone, however quietly."""

import os
import signal
from pathlib import Path

import pytest

from tests.fakenvml import FakeNvml
from tests.unit.agent.node import Document, Node, alive, gang, python, start_all, until

LIMIT_S = 2
QUIET = ["sleep", "600"]
SPINS = python("import os\nwhile not os.path.exists(os.environ['ENOUGH']): pass")
TALKS = python(
    "import os, time\nwhile not os.path.exists(os.environ['ENOUGH']):\n    print('step', flush=True); time.sleep(0.2)"
)
STUCK = python(
    "import faulthandler, signal, threading\n"
    "faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)\n"
    "def barrier(): threading.Event().wait()\n"
    "barrier()"
)
ENOUGH_LOOKS_S = 2 * LIMIT_S


@pytest.fixture
def enough(tmp_path: Path) -> Path:
    """While there is no such file, ranks go on."""
    return tmp_path / "enough"


def job(node: Node, command: list[str], enough: Path, **changes: object) -> Document:
    spec = node.spec(command, hang_timeout_s=LIMIT_S, grace_s=1, **changes)
    spec["processes"][0]["env"]["ENOUGH"] = str(enough)
    return spec


def hung(status: Document, used: str = "processor") -> bool:
    reason = f"it hangs: no output and no {used} use by any rank for {LIMIT_S} s"
    assert (status["state"], status["reason"]) == ("failed", reason)
    assert (status["failure"]["reason"], status["failure"]["cause"], status["left"]) == (reason, "hang", 0)
    return True


def looked_at(node: Node, spec: Document) -> None:
    """Wait until the supervisor has looked at quiet ranks for longer than it allows."""
    supervisor = node.status(spec)["supervisor"]["pid"]
    beginning = switches(supervisor)
    until(lambda: switches(supervisor) - beginning > ENOUGH_LOOKS_S * 20 / LIMIT_S, "it looks again and again")


def switches(pid: int) -> int:
    """How often a process has gone to sleep."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("voluntary_ctxt")).split()[1])


def test_ranks_that_neither_write_nor_work_are_ended(node: Node, enough: Path) -> None:
    spec = job(node, QUIET, enough)
    assert node.start(spec).exit_code == 0
    rank = node.status(spec)["ranks"][0]["pid"]
    assert hung(node.ended(spec))
    assert not alive(rank)


@pytest.mark.parametrize("command", [SPINS, TALKS], ids=["work", "write"])
def test_ranks_that_work_or_write_are_not(node: Node, enough: Path, command: list[str]) -> None:
    spec = job(node, command, enough)
    assert node.start(spec).exit_code == 0
    looked_at(node, spec)
    assert node.status(spec)["state"] == "running"
    enough.touch()
    assert node.ended(spec)["state"] == "succeeded"


def test_without_the_option_a_job_may_wait_for_ever(node: Node, enough: Path) -> None:
    spec = node.spec(QUIET)
    assert node.start(spec).exit_code == 0
    supervisor = node.status(spec)["supervisor"]["pid"]
    before = switches(supervisor)
    with pytest.raises(AssertionError, match="looks again"):
        until(lambda: switches(supervisor) - before > 20, "it looks again and again", patience_s=LIMIT_S)
    assert node.status(spec)["state"] == "running"


def test_a_signal_lets_python_say_where_it_is_stuck(node: Node, enough: Path) -> None:
    spec = job(node, STUCK, enough, hang_signal="SIGUSR1")
    assert node.start(spec).exit_code == 0
    status = node.ended(spec)
    assert hung(status)
    assert "in barrier" in node.log(spec)
    assert any("in barrier" in line for line in status["failure"]["tail"]), "who reads the failure sees it at once"


class TestWithGpus:
    """A collective that waits for ever keeps a core and the GPU's processors busy, but no memory."""

    @pytest.fixture
    def nvml(self, tmp_path: Path) -> FakeNvml:
        found = FakeNvml(tmp_path / "nvml", gpus=2)
        found.set("utilization", 100, gpu="*")
        return found

    @pytest.fixture
    def gpu_node(self, node: Node, nvml: FakeNvml) -> Node:
        node.env = nvml.environment()
        return node

    def test_ranks_that_only_spin_are_ended(self, gpu_node: Node, nvml: FakeNvml, enough: Path) -> None:
        spec = job(gpu_node, SPINS, enough, gpus=nvml.uuids)
        assert gpu_node.start(spec).exit_code == 0
        assert hung(gpu_node.ended(spec), "GPU memory")

    def test_one_gpu_that_works_is_a_sign_of_life(self, gpu_node: Node, nvml: FakeNvml, enough: Path) -> None:
        nvml.set("memory_utilization", 40, gpu=1)
        spec = job(gpu_node, SPINS, enough, gpus=nvml.uuids)
        assert gpu_node.start(spec).exit_code == 0
        looked_at(gpu_node, spec)
        assert gpu_node.status(spec)["state"] == "running"
        nvml.set("memory_utilization", 0, gpu=1)
        assert hung(gpu_node.ended(spec), "GPU memory")

    def test_a_driver_that_does_not_answer_is_none(self, gpu_node: Node, nvml: FakeNvml, enough: Path) -> None:
        spec = job(gpu_node, SPINS, enough, gpus=nvml.uuids)
        assert gpu_node.start(spec).exit_code == 0
        nvml.set("fault.nvmlInit", "error:DRIVER_NOT_LOADED")
        assert hung(gpu_node.ended(spec), "GPU memory")


class TestOnSeveralNodes:
    def started(self, nodes: list[Node], enough: Path, busy: int) -> list[Document]:
        """A job of which one node's rank writes, and the others' wait."""
        specs = gang(nodes, QUIET, linked=True, hang_timeout_s=LIMIT_S, grace_s=1)
        specs[busy]["processes"][0].update(command=TALKS, env={"ENOUGH": str(enough)})
        assert [answer.exit_code for answer in start_all(nodes, specs)] == [0, 0, 0]
        return specs

    @pytest.mark.parametrize("busy", [0, 1], ids=["rank 0", "another rank"])
    def test_as_long_as_one_rank_works_no_one_is_ended(self, nodes: list[Node], enough: Path, busy: int) -> None:
        specs = self.started(nodes, enough, busy)
        for node, spec in zip(nodes, specs, strict=True):
            looked_at(node, spec)
        assert [node.status(spec)["state"] for node, spec in zip(nodes, specs, strict=True)] == ["running"] * 3
        enough.touch()  # it has done its part, and the others still wait
        ends = [node.ended(spec) for node, spec in zip(nodes, specs, strict=True)]
        assert ends[busy]["state"] == "succeeded"
        assert all(hung(status) for number, status in enumerate(ends) if number != busy)

    def test_when_the_last_one_is_stuck_all_are_ended(self, nodes: list[Node], enough: Path) -> None:
        specs = self.started(nodes, enough, 2)
        looked_at(nodes[2], specs[2])
        talking = nodes[2].status(specs[2])["ranks"][0]["pid"]
        os.kill(talking, signal.SIGSTOP)
        for node, spec in zip(nodes, specs, strict=True):
            assert hung(node.ended(spec))
