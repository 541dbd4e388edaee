# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What jobs leave on a node takes no more room than it may: each log, and all the records."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from muster.agent import bounded, logs, retention

from tests.unit.agent.node import Node, alive, until

MIB = 2**20
LINE = "{:09d} " + 89 * "x" + "\n"
GONE = re.compile(r"\[muster: [0-9.]+ MiB of this log are gone, as it grew beyond its bounds\]")
DAY_S = 86400
WRITES = """
import os, sys, time
for number in range(140000):
    print(f"{number:09d}", 89 * "x")
    if number == 70000:
        sys.stdout.flush()
        while os.fstat(1).st_blocks * 512 > 4 << 20:  # until somebody has looked at it
            time.sleep(0.05)
"""


def disk(path: Path) -> int:
    return path.stat().st_blocks * 512


class Log:
    """A log of numbered lines of 100 bytes, to which somebody goes on appending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file = path.open("a")

    def grow(self, mib: int) -> None:
        """Write so much more of it, and keep it to one MiB as the supervisor does, every now and then."""
        for _part in range(4 * mib):
            self._file.write("".join(LINE.format(self.count + number) for number in range(2621)))
            self._file.flush()
            self.count += 2621
            bounded.trim(str(self.path), MIB)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "rank-0.log")


def numbers(lines: list[str]) -> list[int]:
    """The numbers of the lines, which are all whole, but for the last of those before the gap."""
    found = []
    for number, line in enumerate(lines):
        if GONE.fullmatch(line):
            continue
        before_the_gap = number + 1 < len(lines) and GONE.fullmatch(lines[number + 1])
        assert line + "\n" == LINE.format(int(line[:9])) or before_the_gap, line
        found.append(int(line[:9]))
    return found


def test_a_log_within_its_bounds_is_left_as_it_is(log: Log) -> None:
    log.grow(1)
    before = log.path.read_bytes()
    assert (len(before), b"\0" in before) == (log.count * 100, False)
    assert numbers(logs.read(str(log.path), None)) == list(range(log.count))


def test_of_a_log_that_grows_and_grows_the_start_and_the_end_stay(log: Log) -> None:
    log.grow(40)
    assert log.path.stat().st_size == log.count * 100, "what is there keeps its place"
    assert disk(log.path) <= 1.5 * MIB
    lines = logs.read(str(log.path), None)
    assert sum(GONE.fullmatch(line) is not None for line in lines) == 1
    there = numbers(lines)
    assert there == sorted(set(there))
    gap = next(place for place, line in enumerate(lines) if GONE.fullmatch(line))
    assert there[:gap] == list(range(gap)) and gap >= MIB // 16 // 100
    assert there[gap:] == list(range(there[gap], log.count)) and log.count - there[gap] >= MIB // 2 // 100 - 1


@pytest.mark.parametrize("wanted", [1, 20, 3000])
def test_the_last_lines_are_found_as_ever(log: Log, wanted: int) -> None:
    log.grow(20)
    last = [LINE.format(number)[:-1] for number in range(log.count - wanted, log.count)]
    assert logs.read(str(log.path), wanted) == last
    assert logs.tail(str(log.path), 20)[-1] == last[-1]


def test_more_lines_than_the_end_has_are_taken_from_the_start(log: Log) -> None:
    log.grow(20)
    every = logs.read(str(log.path), None)
    assert logs.read(str(log.path), len(every) - 11)[0] == LINE.format(10)[:-1]


def test_who_follows_slowly_is_told_what_has_gone_meanwhile(log: Log) -> None:
    log.grow(1)
    seen: list[str] = []
    looks = iter([False, False, True])

    def ended() -> bool:
        if len(seen) > 0:
            log.grow(10)
        return next(looks)

    log.grow(1)
    output = os.open(os.devnull, os.O_WRONLY)
    logs.follow({"": str(log.path)}, 5, ended, lambda text: seen.append(text.decode()[:-1]), output)
    os.close(output)
    there = numbers(seen)
    assert there == sorted(set(there)) and there[-1] == log.count - 1
    assert any(GONE.fullmatch(line) for line in seen)


def test_what_is_given_back_while_it_is_read_is_told_and_not_read_as_nothing(log: Log) -> None:
    with log.path.open("a") as file:
        file.writelines(LINE.format(number) for number in range(80_000))
    seen: list[str] = []
    output = os.open(os.devnull, os.O_WRONLY)

    def write(text: bytes) -> None:
        if len(seen) == 1000:
            bounded.trim(str(log.path), 2 * MIB)
        seen.append(text.decode()[:-1])

    logs.follow({"": str(log.path)}, None, lambda: True, write, output)
    os.close(output)
    there = numbers(seen)
    assert there == sorted(set(there)) and there[-1] == 79_999
    assert sum(GONE.fullmatch(line) is not None for line in seen) == 1
    assert max(map(len, seen)) <= 100


def test_a_line_that_never_ends_is_given_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "rank-0.log"
    path.write_text("x" * 3 * MIB + "\nlast\n")
    lines = logs.read(str(path), None)
    assert "".join(lines[:-1]) == "x" * 3 * MIB
    assert lines[-1] == "last" and max(map(len, lines)) < 2 * MIB


def test_the_log_of_a_rank_is_kept_to_what_the_job_allows(node: Node) -> None:
    spec = {**node.spec([sys.executable, "-c", WRITES]), "max_log_mib": 1}
    node.start(spec)
    node.ended(spec)
    log = node.directory(spec) / "rank-0.log"
    assert log.stat().st_size == 140000 * 100
    assert disk(log) < 12 * MIB, "it was looked at in between"
    lines = node.text("logs", "--job", spec["job"], "--lines", "all", "--raw").splitlines()
    assert (lines[0][:9], lines[-1][:9]) == ("000000000", "000139999")
    assert sum(GONE.fullmatch(line) is not None for line in lines) == 1
    subprocess.run(["tail", "-n", "1", log], check=True, stdout=subprocess.DEVNULL)


class TestRecords:
    """Attempts that ended long ago go when another ends."""

    @pytest.fixture
    def many(self, node: Node) -> list[Path]:
        """More attempts than are kept for long, the first being the oldest, and each two days older than the next."""
        spec = node.spec(["true"])
        node.start(spec)
        supervisor = node.ended(spec)["supervisor"]["pid"]
        until(lambda: not alive(supervisor), "it has tidied up")
        model = node.directory(spec)
        made = []
        for number in range(retention.FEW + 10):
            path = model.parent / f"old{number}.1"
            shutil.copytree(model, path)
            made.append(path)
        for age, path in enumerate(reversed(made)):
            aged(path, 2 * age + 1)
        return made

    def test_the_last_few_stay_however_old_they_are(self, node: Node, many: list[Path]) -> None:
        for path in many:
            aged(path, 400)
        end_another(node)
        until(lambda: sum(path.exists() for path in many) == retention.FEW - 2, "old ones go")

    def test_what_is_not_old_stays(self, node: Node, many: list[Path]) -> None:
        end_another(node)
        until(lambda: not many[0].exists(), "the oldest goes")
        assert [path.exists() for path in many].count(True) == retention.FEW - 2

    def test_what_still_runs_stays(self, node: Node, many: list[Path]) -> None:
        spec = node.spec(["sleep", "600"])
        node.start(spec)
        aged(node.directory(spec), 400)
        end_another(node)
        until(lambda: not many[0].exists(), "younger ones go")
        assert node.directory(spec).exists()
        node.stop(spec)

    def test_what_a_start_that_died_has_left_behind_goes(self, node: Node) -> None:
        left = node.state_dir / "jobs/.dead.1.4711"
        left.mkdir(parents=True)
        (left / "spec.json").write_text("{}")
        fresh = node.state_dir / "jobs/.fresh.1.4712"
        fresh.mkdir()
        os.utime(left, (1, 1))
        end_another(node)
        until(lambda: not left.exists(), "it goes")
        assert fresh.exists()


def aged(path: Path, days: float) -> None:
    at = (path / "status.json").stat().st_ctime - days * DAY_S
    os.utime(path / "status.json", (at, at))


def end_another(node: Node) -> None:
    spec = node.spec(["true"])
    node.start(spec)
    node.ended(spec)
