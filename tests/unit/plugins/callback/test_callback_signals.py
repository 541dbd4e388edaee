# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is told to end puts right what it leaves, whatever it is writing down at that moment."""

from __future__ import annotations

import signal

from ansible_collections.muster.training.plugins.callback.cluster_state import CallbackModule


def test_what_is_being_written_down_is_finished_before_the_run_ends() -> None:
    callback, done = CallbackModule(), []
    callback._ansible_handler = lambda number, frame: done.append(number)
    callback._at_exit = lambda: done.append("put right")
    with callback._warning():
        callback._on_sigterm(signal.SIGTERM, None)
        assert done == [], "not in the middle of it"
    assert done == ["put right", signal.SIGTERM]
    with callback._warning():
        done.clear()
    assert done == [], "once is enough"
    callback._on_sigterm(signal.SIGTERM, None)
    assert done == ["put right", signal.SIGTERM]
