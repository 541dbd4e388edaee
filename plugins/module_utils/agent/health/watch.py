# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a node: the results of all checks, what is confirmed of them, and what the checks remember.

No clock, no file and no process: samples and times come in, reports go out.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from ..worker import Sample
from .ask import Ask
from .catalogue import BY_NAME, CHECKS, SAMPLERS, Check, check_of
from .model import Policy, Track, Verdict, cleared, judge, step
from .result import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Result
from .settings import Settings, policy

Document = dict[str, Any]
Key = tuple[str, str]
"""The name of a check, and the entity that it looked at."""

FAULTS = (CRITICAL, WARNING)


class Change(NamedTuple):
    """A confirmed change. `before` is None if nothing was known. `silent`: its sampler gives no answer, and that is all
    that is known."""

    check: str
    result: Result
    before: str | None
    after: str
    silent: bool = False

    @property
    def news(self) -> bool:
        """Whether a person wants to know: a fault, the end of one, or that something cannot be told."""
        if self.after in FAULTS or self.before in FAULTS:
            return True
        return self.after == UNKNOWN and not self.silent


class Watch:
    """One node, since one boot."""

    def __init__(self, settings: Settings, boot_id: str) -> None:
        self.settings = settings
        self.boot_id = boot_id
        self.tracks: dict[Key, Track] = {}
        self.latest: dict[Key, Result] = {}
        self.shown: dict[Key, Result] = {}
        """The last result that said what is confirmed: of a latched fault, the one that latched it."""
        self.memory: dict[str, Document] = {}
        self.durations: dict[str, float] = {}

    def take(self, sampler: str, sample: Sample, now: float) -> list[Change]:
        """Judge one sample; return what has changed for sure. `now`: seconds since boot."""
        self.durations[sampler] = sample.duration_ms
        changes = []
        for check in CHECKS:
            if check.sampler == sampler and self._wanted(check.name):
                found = [self._change(name, result, now) for name, result in self._results(check, sample, now)]
                silent = sample.failure is not None and check.silence[0] not in FAULTS
                changes += [change._replace(silent=silent) for change in found if change]
        return changes

    def policy(self, name: str) -> Policy:
        return policy(self.settings, name, policy(self.settings, check_of(name).name, check_of(name).policy))

    def verdict(self) -> Verdict:
        """Return the verdict; its `worst` are written `check|entity`."""
        tracks = {_text(key): track for key, track in self.tracks.items()}
        return judge(tracks, {_text(key): self.policy(key[0]) for key in self.tracks})

    def of(self, text: str) -> tuple[str, Track, Result]:
        """Return check, track and shown result of one of the verdict's `worst`."""
        name, _bar, entity = text.partition("|")
        return name, self.tracks[name, entity], self.shown.get((name, entity), self.latest[name, entity])

    def clear(self, name: str | None, now: float) -> list[Change]:
        """An operator says that the faults of a check (of all, if None) are mended. The next samples tell."""
        found = [key for key, track in self.tracks.items() if track.state in FAULTS and name in (None, key[0])]
        changes = []
        for key in found:
            told = self.latest[key]._replace(status=OK, reason="an operator says that it is mended", action="")
            changes.append(Change(key[0], told, self.tracks[key].state, OK))
            self._forget(key, now)
            check_of(key[0]).forget(self.memory.get(check_of(key[0]).name, {}), key[1])
        return changes

    def _wanted(self, name: str) -> bool:
        """Whether there is such a check (this agent may be another than that which wrote its name), and it is on."""
        known = name in BY_NAME or name.startswith("own.")
        on = [self.settings.checks.get(one, {}).get("enabled", True) for one in (check_of(name).name, name)]
        return known and all(on)

    def _results(self, check: Check, sample: Sample, now: float) -> list[tuple[str, Result]]:
        known = [key for key in self.tracks if check_of(key[0]) is check]
        if sample.failure is not None:
            status, action = check.silence
            reason = f"{SAMPLERS[check.sampler].title} {sample.failure}"
            silent = Result(status, reason, action)
            labels = {key: self.latest[key].label for key in known}
            return [(name, silent._replace(entity=entity, label=labels[name, entity])) for name, entity in known] or [
                (check.name, silent)
            ]
        said = self.settings.checks.get(check.name, {})
        warning, critical = said.get("warning", check.warning), said.get("critical", check.critical)
        ask = Ask(self.settings, warning, critical, self.memory.setdefault(check.name, {}), now)
        try:
            judged = check.judge(sample.facts, ask)
        except Exception as error:  # of ours, or of facts that are not as they should be: the other checks go on
            judged = [Result(UNKNOWN, f"the check failed: {type(error).__name__}: {error}", "please report this")]
        results = [(_name(check, result), result) for result in judged]
        results = [(name, result) for name, result in results if self._wanted(name)]
        if judged:
            # What is not looked at any more and was well is forgotten; a fault stays until it is seen to be mended,
            # unless it was that of a user's own check, which is there or not as the user wants.
            seen = {(name, result.entity) for name, result in results}
            for key in known:
                if key not in seen and (self.tracks[key].state not in FAULTS or check.name == "own"):
                    del self.tracks[key], self.latest[key]
                    self.shown.pop(key, None)
        return results

    def _change(self, name: str, result: Result, now: float) -> Change | None:
        key = (name, result.entity)
        if result.mended and key in self.tracks:
            self._forget(key, now)
        before = self.tracks.get(key, Track())
        after = step(before, result.status, now, self.policy(name))
        self.tracks[key] = after
        self.latest[key] = result
        if result.status == after.state:
            self.shown[key] = result
        if after.state is None or after.state == before.state:
            return None
        return Change(name, self.shown.get(key, result), before.state, after.state)

    def _forget(self, key: Key, now: float) -> None:
        self.tracks[key] = cleared(self.tracks[key], now)
        self.shown.pop(key, None)

    def to_document(self) -> Document:
        """What must outlive the daemon, as JSON."""
        keys = [key for key in self.tracks if key in self.latest]
        return {
            "boot_id": self.boot_id,
            "settings": digest(self.settings),
            "memory": self.memory,
            "tracks": [
                [
                    *key,
                    list(self.tracks[key]),
                    list(self.latest[key]),
                    list(self.shown[key]) if key in self.shown else None,
                ]
                for key in keys
            ],
        }

    def restore(self, document: Document | None) -> bool:
        """Go on from what an earlier daemon knew; whether it did. After a boot nothing of that holds; after a change of
        the settings only what is latched does."""
        if not document or document.get("boot_id") != self.boot_id:
            return False
        try:
            self._restore(document)
        except (KeyError, TypeError, ValueError):  # written by another version: begin anew
            self.tracks, self.latest, self.shown, self.memory = {}, {}, {}, {}
            return False
        return True

    def _restore(self, document: Document) -> None:
        same = document.get("settings") == digest(self.settings)
        self.memory = document["memory"]
        for name, entity, track, latest, shown in document["tracks"]:
            state, recent, since, changed, flapping, latched = track
            one = Track(state, tuple(recent), since, tuple(changed), flapping, latched)
            if (same or one.latched) and self._wanted(name):
                key = (name, entity)
                self.tracks[key], self.latest[key] = one, Result(*latest)
                if shown is not None:
                    self.shown[key] = Result(*shown)


def digest(settings: Settings) -> str:
    """Return what tells two settings apart."""
    return f"{zlib.crc32(repr(settings).encode()):08x}"  # not hashlib: OpenSSL alone takes 4 MiB


def rows_of(watch: Watch, worst: tuple[str, ...], now: float) -> list[Document]:
    """Return all results, those of the verdict's `worst` first, as docs/health.md has them."""
    rest = sorted({_text(key) for key in watch.tracks} - set(worst))
    rows = []
    for text in (*worst, *rest):
        name, track, result = watch.of(text)
        last = watch.latest.get((name, result.entity), result)
        rows.append(
            {
                "check": name,
                "entity": result.entity,
                "label": result.label,
                "status": track.state or "UNKNOWN",
                "confirmed": track.settled,
                "last": last.status,
                "reason": result.reason,
                "action": "" if track.state in (OK, SKIPPED) else result.action,
                "value": result.value,
                "unit": result.unit,
                "threshold": result.threshold,
                "vital": watch.policy(name).vital,
                "latched": track.latched,
                "flapping": track.flapping,
                "for_s": round(now - track.since, 3) if track.state else None,
                "duration_ms": watch.durations.get(check_of(name).sampler),
            }
        )
    return rows


def _name(check: Check, result: Result) -> str:
    return f"own.{result.entity}" if check.name == "own" and result.entity else check.name


def _text(key: Key) -> str:
    return "|".join(key)
