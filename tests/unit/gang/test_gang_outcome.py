# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the last words of the nodes amount to: the cause, and not what followed from it."""

from __future__ import annotations

from typing import Any

from muster.gang import Report, outcome


def said(node: str, state: str, reason: str | None = None, **more: Any) -> Report:
    return Report(node, {"state": state, "reason": reason, "left": 0, **more})


def failed(node: str, rank: int, at: str, **more: Any) -> Report:
    failure = {"rank": rank, "node": node, "reason": "exit code 1", "at": f"2026-11-29T12:00:{at}Z"}
    return said(node, "failed", f"rank {rank}: exit code 1", failure=failure, **more)


SILENT = Report("n3", None, "n3 does not answer", "unreachable")


def test_the_first_failure_by_time() -> None:
    end = outcome([failed("n1", 0, "02.5"), failed("n2", 1, "02.4"), said("n3", "canceled", "n2: rank 1: exit code 1")])
    assert (end.state, end.reason) == ("FAILED", "rank 1 on n2 failed first: exit code 1")


def test_a_node_that_the_others_missed_before_a_rank_failed_of_it() -> None:
    why = "lost touch with n3: its supervisor has ended"
    gone = said("n3", "lost", "the supervisor (pid 7) is gone")
    end = outcome([said("n1", "canceled", why, lost=["n3"]), failed("n2", 1, "02.4"), gone])
    assert (end.state, end.reason, end.failure) == ("LOST", "lost n3: the supervisor (pid 7) is gone", None)


def test_one_that_was_missed_and_is_back() -> None:
    why = "lost touch with n3: connection timed out"
    back = said("n3", "canceled", "lost touch with n1", lost=["n1"])
    end = outcome([said("n1", "canceled", why, lost=["n3"]), said("n2", "canceled", why, lost=["n3"]), back])
    assert (end.state, end.reason) == ("LOST", f"lost n3: {why}")


def test_of_two_that_missed_each_other_nobody_knows_which_it_was() -> None:
    parts = [
        said(one, "canceled", f"lost touch with {other}", lost=[other]) for one, other in (("n1", "n2"), ("n2", "n1"))
    ]
    assert outcome(parts).reason == "lost n1, n2: lost touch with n2; lost touch with n1"


def test_a_failure_is_the_cause_where_only_we_cannot_reach_another_node() -> None:
    end = outcome([failed("n1", 0, "02.5"), said("n2", "canceled", "n1: rank 0: exit code 1", lost=[]), SILENT])
    assert (end.state, end.reason) == ("FAILED", "rank 0 on n1 failed first: exit code 1")


def test_a_failure_is_the_cause_where_a_node_was_rebooted_after_it() -> None:
    end = outcome([failed("n1", 0, "02.5"), said("n2", "lost", "the node was rebooted")])
    assert end.state == "FAILED"


def test_a_node_that_does_not_answer_and_one_that_others_missed_are_both_lost() -> None:
    end = outcome([said("n1", "canceled", "lost touch with n2: its supervisor has ended", lost=["n2"]), SILENT])
    assert (end.state, end.reason) == ("LOST", "lost n2, n3: n3 does not answer")


def test_all_is_well_and_a_stop_is_told_with_its_reason() -> None:
    assert outcome([said("n1", "succeeded"), said("n2", "succeeded", lost=[])]).state == "SUCCEEDED"
    end = outcome([said("n1", "canceled", "ann"), said("n2", "canceled", "ann"), said("n3", "succeeded")])
    assert (end.state, end.reason) == ("CANCELED", "ann")
