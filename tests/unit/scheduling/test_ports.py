# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job's ports: nobody else's, and none that the kernel gives to outgoing connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.model import NoCapacity
from muster.scheduling import PORTS, choose_ports


@given(st.integers(1, 10**9), st.sets(st.sampled_from(PORTS), max_size=len(PORTS) - 2))
def test_they_are_free_and_outside_the_ephemeral_range_and_need_no_root(epoch: int, taken: set[int]) -> None:
    ports = choose_ports(epoch, taken)
    assert not taken.intersection(ports)
    assert ports[0] != ports[1]
    for port in ports:
        assert port > 1023
        assert not 32768 <= port <= 60999


def test_none_is_used_again_right_after_its_release() -> None:
    assert len({port for epoch in range(1000) for port in choose_ports(epoch, ())}) == 2000


def test_the_last_free_ones_are_found_and_after_them_a_launch_must_wait() -> None:
    assert set(choose_ports(5, set(PORTS) - {PORTS[0], PORTS[-1]})) == {PORTS[0], PORTS[-1]}
    for left in (set(), {PORTS[-1]}):
        with pytest.raises(NoCapacity, match="every port for jobs is leased") as error:
            choose_ports(5, set(PORTS) - left)
        assert not error.value.permanent
