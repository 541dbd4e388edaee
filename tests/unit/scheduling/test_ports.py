# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendezvous ports: nobody else's, and none that the kernel gives to outgoing connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.model import NoCapacity
from muster.scheduling import PORTS, choose_port


@given(st.integers(1, 10**9), st.sets(st.sampled_from(PORTS)))
def test_a_port_is_free_and_outside_the_ephemeral_range_and_needs_no_root(epoch: int, taken: set[int]) -> None:
    port = choose_port(epoch, taken)
    assert port not in taken
    assert port > 1023
    assert not 32768 <= port <= 60999


def test_a_port_is_not_used_again_right_after_its_release() -> None:
    assert len({choose_port(epoch, ()) for epoch in range(1000)}) == 1000


def test_the_last_free_port_is_found_and_after_it_a_launch_must_wait() -> None:
    assert choose_port(5, set(PORTS) - {PORTS[-1]}) == PORTS[-1]
    with pytest.raises(NoCapacity, match="every rendezvous port is leased") as error:
        choose_port(5, set(PORTS))
    assert not error.value.permanent
