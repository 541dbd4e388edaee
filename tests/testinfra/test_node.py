# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node must be before jobs are given to it. A test that fails says what is wrong, and what to do about it."""

from __future__ import annotations

import pytest

from .node import Node, Rank

OLDEST_PYTHON = (3, 9)
LEAST_FREE_GB = 10.0
MOST_SKEW_S = 1.0
OTHERS_MAY_WRITE = 0o022


def wrong(what: str) -> None:
    """Fail without a trace of our own code, which is of no use to whoever looks after nodes."""
    pytest.fail(what, pytrace=False)


@pytest.mark.reaches
def test_ssh(node: Node) -> None:
    """It lets us in, and a command can be run there."""
    if node.unreachable:
        wrong(node.unreachable)


def test_python(node: Node) -> None:
    """The agent's Python is there and new enough."""
    if not node.python_version:
        wrong(f"{node.python} cannot be run: install Python, or set ansible_python_interpreter")
    if node.python_version < OLDEST_PYTHON:
        told = ".".join(str(number) for number in node.python_version)
        wrong(f"{node.python} is {told}, and 3.9 is the oldest that will do: set ansible_python_interpreter")


def test_agent(node: Node) -> None:
    """The agent is there, can be run, and is of this version of Muster."""
    if not node.python_version:
        pytest.skip("there is no Python to run it")
    if not node.exists(node.agent_file):
        wrong(f"{node.agent_file} is missing: run provision.yml")
    answer = node.answer("version")
    if not answer["ok"]:
        wrong(f"{node.agent_file} cannot be run: {answer['error']['message']}: run provision.yml")
    wanted = node.expected.get("agent") or answer["agent"]
    if answer["agent"] != wanted:
        wrong(f"the agent is {answer['agent']} and not {wanted}: run provision.yml")


def test_file_modes(node: Node) -> None:
    """Nobody but root and the agent's user can change what runs as them."""
    names = ("bin", "jobs", "locks", "run", "health", "agent.json")
    paths = [node.state_dir, node.agent_file, *(f"{node.state_dir}/{name}" for name in names)]
    paths += ["/etc/muster", "/etc/muster/agent.json", "/etc/systemd/system/muster-monitor.service"]
    words = " %s" * len(paths)
    listed = node.run(f"id -u; stat --dereference --format '%%a %%u %%n' --{words} 2>/dev/null", *paths)
    user, *lines = listed.stdout.splitlines()
    faults = []
    for line in lines:
        mode, owner, path = line.split(" ", 2)
        if owner not in ("0", user):
            faults.append(f"{path} belongs to user {owner}")
        if int(mode, 8) & OTHERS_MAY_WRITE:
            faults.append(f"others may write to {path} (mode {mode})")
    if faults:
        wrong("; ".join(faults) + ": chown and chmod go-w")


def test_monitor_enabled(node: Node) -> None:
    """Where systemd runs, it starts the monitor at boot."""
    unit = node.monitor["unit"]
    if unit is None:
        told = node.ask("inventory")["node"]
        if not told["systemd"] or told["uid"] != 0:
            pytest.skip("there is no systemd here that we may tell")
        wrong("the monitor is no service of systemd's: run monitor.yml")
    if node.systemd(unit)[0] != "enabled":
        wrong(f"{unit} is not started at boot: run monitor.yml")


def test_monitor_running(node: Node) -> None:
    """It runs, and systemd thinks so too."""
    unit = node.monitor["unit"]
    if unit is not None and node.systemd(unit)[1] != "active":
        wrong(f"{unit} does not run: `muster daemon start {node.name}`, or monitor.yml")
    if node.monitor["pid"] is None:
        wrong(f"no monitor runs: `muster daemon start {node.name}`, or monitor.yml")


def test_monitor_settings(node: Node) -> None:
    """It goes by what the inventory says now."""
    wanted = node.expected.get("settings")
    if wanted is None:
        pytest.skip("only verify.yml knows what monitor.yml would write")
    found = node.settings()
    if found is None:
        pytest.skip("no monitor is set up")
    # Their values may hold secrets, so only names are told.
    other = [key for key in sorted({*wanted, *found}) if found.get(key) != wanted.get(key)]
    if other:
        wrong(f"its settings differ from the inventory's in {', '.join(other)}: run monitor.yml")


def test_report(node: Node) -> None:
    """The monitor has looked at the node lately."""
    if node.monitor["pid"] is None:
        pytest.skip("no monitor runs")
    report = node.ask("health", "--source", "daemon")["health"]
    if not report.get("fresh"):
        wrong(f"{report['reason']}: `muster daemon restart {node.name}`")


def test_health(node: Node) -> None:
    """The monitor finds that jobs can run here."""
    if node.report["state"] in ("unhealthy", "unknown"):
        what, todo = node.report["reason"], node.report["action"]
        wrong(f"it is {node.report['state']}: {what}" + (f": {todo}" if todo else ""))


def test_gpus(node: Node) -> None:
    """The GPUs are those that the inventory and the state speak of."""
    there = node.ask("inventory")["node"]
    if there["nvml"]["status"] == "error":
        wrong(f"its GPUs cannot be read: {there['nvml']['detail']}")
    known: list[str] | None = node.expected.get("gpus")
    count = node.health_setting("expect", "gpus")
    found = [gpu["uuid"] for gpu in there["gpus"]]
    if count is not None and len(found) != count:
        wrong(f"it has {len(found)} of the {count} GPUs of muster_health.expect.gpus")
    if known is not None and set(found) != set(known):
        missing, new = sorted(set(known) - set(found)), sorted(set(found) - set(known))
        told = [f"{', '.join(uuids)} {verb}" for uuids, verb in ((missing, "is missing"), (new, "is new")) if uuids]
        wrong(
            f"it has {len(found)} GPUs and not the {len(known)} of the state: "
            f"{'; '.join(told)}: if that is right, run sync.yml"
        )
    if count is None and known is None:
        pytest.skip("neither muster_health.expect.gpus nor the state say which there are to be")


def test_disk(node: Node) -> None:
    """There is room for logs and checkpoints."""
    asked = node.health_setting("checks", "disk.free", "warning")
    least = LEAST_FREE_GB if asked is None else float(asked)
    free = node.free_gb()
    if free is None:
        pytest.skip(f"there is no {node.state_dir}")
    if free < least:
        wrong(f"{free:.1f} GB are free below {node.state_dir}, and {least:g} are to be: make room")


def test_clock(node: Node) -> None:
    """Its clock and ours agree: else the times of what went wrong first mean nothing."""
    skew, unsure = node.clock_skew_s()
    if abs(skew) > MOST_SKEW_S + unsure:
        wrong(f"its clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} ours: see to NTP on both")


def test_no_orphan_rank(node: Node) -> None:
    """Each process of a job has a supervisor, and the state knows the job."""
    before = node.ranks()
    if not before:
        return
    status = node.answer("status")
    if not status["ok"]:
        pytest.skip("its agent cannot say which jobs run here")
    running = [one for one in status["attempts"] if one["state"] in ("starting", "running")]
    # The state is read last: who was seen running has had a lease by then, also if it has only just begun.
    known = node.live_jobs()
    live = {(one["job"], str(one["attempt"])) for one in running if known is None or one["job"] in known}
    # What has ended between the two looks is no orphan.
    orphans = {pid: rank for pid, rank in node.ranks(anew=True).items() if before.get(pid) == rank and rank not in live}
    if orphans:
        told = ", ".join(f"{pid} of job {job}, attempt {attempt}" for pid, (job, attempt) in sorted(orphans.items()))
        wrong(f"{_counted(orphans)} of what is over: {told}: recover.yml stops what the agent knows, `kill` the rest")


def _counted(things: dict[int, Rank]) -> str:
    return f"{len(things)} process{'' if len(things) == 1 else 'es'}"
