# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From single results to a verdict on the node: pure functions, the time comes in as an argument.

A check's state changes when several results in a row say so, and not while it flaps. A latched fault stays until the
machine was booted anew, the GPU was reset, or an operator says that it is mended: that nothing has been seen for a
while proves nothing. Times are seconds since boot (CLOCK_BOOTTIME): no clock that people set has a part in this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .result import CRITICAL, OK, SEVERITY, SKIPPED, UNKNOWN, WARNING

PASSES_NEEDED = 0.90
"""The weighted part of all checks that must pass (the rule of the first design)."""
FLAP_WINDOW_S = 30 * 60.0
FLAPS_AFTER = 6
SETTLES_AT = 2
"""A check flaps that has changed so often within the window, until it has changed only so often."""

HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN_STATE = "healthy", "degraded", "unhealthy", "unknown"
BANDS = {HEALTHY: (90, 100), DEGRADED: (50, 89), UNHEALTHY: (0, 49)}
"""The scores that go with each state, so that none contradicts it."""


class Policy(NamedTuple):
    """How results of one check count. `weight`: of each thing that it looks at. `vital`: a confirmed CRITICAL alone
    makes the node unhealthy. `latch`: CRITICAL needs no second sample, and does not pass by itself."""

    weight: float = 1.0
    vital: bool = False
    latch: bool = False
    fail_after: int = 3
    recover_after: int = 3


class Track(NamedTuple):
    """What is remembered of one check of one thing. `state`: the confirmed one; None: not yet. `recent`: the last
    results, newest last. `since`: when `state` was confirmed. `changes`: when the results changed."""

    state: str | None = None
    recent: tuple[str, ...] = ()
    since: float = 0.0
    changes: tuple[float, ...] = ()
    flapping: bool = False
    latched: bool = False

    @property
    def settled(self) -> bool:
        """Whether the last result says the same as the confirmed state, so that there is no reason to hurry."""
        certain = self.latched or self.flapping or not self.recent or self.recent[-1] == self.state
        return self.state is not None and certain


def step(track: Track, status: str, now: float, policy: Policy) -> Track:
    """Return the track after one more result."""
    track = _counted(track, status, now, policy)
    if status == SKIPPED and not track.latched:
        return _moved(track, SKIPPED, now)
    if policy.latch and status == CRITICAL:
        return _moved(track, CRITICAL, now)._replace(latched=True)
    if track.latched:
        return track
    if status == OK and track.state in (None, SKIPPED):
        return _moved(track, OK, now)
    worst = max(track.recent, key=SEVERITY.__getitem__)
    if track.flapping and SEVERITY[worst] > SEVERITY[track.state or OK]:
        return _moved(track, worst, now)
    fails, recovers = track.recent[-policy.fail_after :], track.recent[-policy.recover_after :]
    held = SEVERITY[track.state or OK]
    if len(fails) == policy.fail_after and all(SEVERITY[one] > held for one in fails):
        return _moved(track, min(fails, key=SEVERITY.__getitem__), now)
    if track.flapping or len(recovers) < policy.recover_after or any(SEVERITY[one] >= held for one in recovers):
        return track
    # From a fault, silence is no way back: only what was seen to be better counts.
    if UNKNOWN in recovers:
        return track
    return _moved(track, max(recovers, key=SEVERITY.__getitem__), now)


def cleared(track: Track, now: float) -> Track:
    """Return the track when somebody who knows has said that the fault is mended; the next results tell."""
    return Track(since=now) if track.state not in (None, OK, SKIPPED) else track


def _counted(track: Track, status: str, now: float, policy: Policy) -> Track:
    changed = bool(track.recent) and status != track.recent[-1]
    changes = tuple(at for at in (*track.changes, *([now] if changed else [])) if now - at <= FLAP_WINDOW_S)
    kept = max(policy.fail_after, policy.recover_after)
    flapping = len(changes) >= FLAPS_AFTER or (track.flapping and len(changes) > SETTLES_AT)
    recent = (*track.recent, status)[-kept:]
    return track._replace(recent=recent, changes=changes[-4 * FLAPS_AFTER :], flapping=flapping)


def _moved(track: Track, state: str, now: float) -> Track:
    return track if track.state == state else track._replace(state=state, since=now)


class Verdict(NamedTuple):
    """The node as a whole. `score`: 0 to 100, None where nothing can be said. `passes`: the weighted part of the checks
    that pass, 0 to 1. `worst`: the tracks to look at, worst first."""

    state: str
    score: int | None
    passes: float
    worst: tuple[str, ...]


def judge(tracks: Mapping[str, Track], policies: Mapping[str, Policy]) -> Verdict:
    """Return the verdict on a node, of whose tracks (by any name) each counts by the policy of the same name.

    - unhealthy: a vital check is CRITICAL, or less than 90 % of the weight passes;
    - unknown: nothing is known yet, or not yet of a vital check, or what cannot be told makes up those 10 %;
    - degraded: it can work, but something is to be looked at; healthy: nothing is.
    """
    counted = {name: track for name, track in tracks.items() if track.state != SKIPPED}
    weights = {state: _weight(counted, policies, state) for state in (OK, WARNING, CRITICAL, UNKNOWN, None)}
    total = sum(weights.values())
    unclear = weights[UNKNOWN] + weights[None]
    passing = weights[OK] + weights[WARNING]
    veto = any(track.state == CRITICAL and policies[name].vital for name, track in counted.items())
    pending = any(track.state is None and policies[name].vital for name, track in counted.items())
    worst = tuple(
        sorted(
            (name for name, track in counted.items() if track.state != OK),
            key=lambda name: _rank(counted[name], policies[name]),
        )
    )
    passes = passing / total if total else 0.0
    if veto or (total and (passing + unclear) / total < PASSES_NEEDED):
        state = UNHEALTHY
    elif not total or pending or passes < PASSES_NEEDED:
        state = UNKNOWN_STATE
    else:
        state = DEGRADED if worst else HEALTHY
    if state == UNKNOWN_STATE:  # what cannot be told is the reason, and not a warning
        worst = tuple(sorted(worst, key=lambda name: counted[name].state not in (UNKNOWN, None)))
        return Verdict(state, None, passes, worst)
    low, high = BANDS[state]
    part = (weights[OK] + weights[WARNING] / 2 + unclear / 2) / total
    return Verdict(state, round(low + (high - low) * part), passes, worst)


def _weight(tracks: Mapping[str, Track], policies: Mapping[str, Policy], state: str | None) -> float:
    return sum(policies[name].weight for name, track in tracks.items() if track.state == state)


def _rank(track: Track, policy: Policy) -> tuple[float, float, float]:
    return -SEVERITY[track.state or UNKNOWN], not policy.vital, -policy.weight


class Pace(NamedTuple):
    """How often to look, in seconds: `base_s` usually, `hurry_s` while something is unsure, more and more seldom up to
    `calm_s` after `CALM_AFTER` rounds without a change, and up to `stuck_s` while a sampler hangs."""

    base_s: float = 30.0
    hurry_s: float = 5.0
    calm_s: float = 120.0
    stuck_s: float = 300.0


CALM_AFTER = 20
SLOWER = 1.5


def next_interval(pace: Pace, current_s: float, tracks: Iterable[Track], calm_rounds: int, stuck: bool) -> float:
    """Return the seconds until the next round. `calm_rounds`: for how many nothing has changed."""
    if stuck:
        return min(max(current_s, pace.base_s) * 2, max(pace.stuck_s, pace.base_s))
    if not all(track.settled for track in tracks):
        return pace.hurry_s
    if calm_rounds >= CALM_AFTER:
        return min(max(current_s, pace.base_s) * SLOWER, max(pace.calm_s, pace.base_s))
    return pace.base_s
