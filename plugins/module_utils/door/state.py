# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task ``state``: looking after the state as a whole."""

from __future__ import annotations

from pathlib import Path

from ..cluster import forgotten
from ..model import InvalidInput, MusterError, duration
from ..store import KEEP, DirectoryStore, back_up, open_store, restore, verify
from .call import Call, Result


def change_state(call: Call) -> Result:
    """Back up, restore, verify, check or compact."""
    state = call.params["state"]
    for name, default in _DEFAULTS.items():
        if call.params[name] != default and name not in _TAKEN[state]:
            raise InvalidInput(f"{name} means nothing with state={state}", f"it is for {_states_that_take(name)}")
    return _VERBS[state](call)


class Unsound(MusterError):
    """What is on disk is not as it was written."""


class Inconsistent(MusterError):
    """What must hold of nodes, jobs and leases does not."""


def _back_up(call: Call) -> Result:
    params = call.params
    made = back_up(
        _store(call),
        to=Path(params["path"]).expanduser() if params["path"] else None,
        keep=params["keep"],
        packed=params["gzip"],
        dry_run=call.check_mode,
    )
    return {
        "changed": made.written,
        "file": str(made.path),
        "serial": made.serial,
        "removed": [str(path) for path in made.removed],
    }


def _restore(call: Call) -> Result:
    params = call.params
    if not params["path"]:
        raise InvalidInput("path must name the backup to restore", "muster state show --json lists them")
    path = Path(params["path"]).expanduser()
    store = _store(call)
    done = restore(store, path, who=call.actor, origin=call.origin, force=params["force"], dry_run=call.check_mode)
    for sentence in forgotten(done, dry_run=call.check_mode):
        call.warn(sentence)
    return {
        "changed": done.changed,
        "file": str(path),
        "serial": done.serial,
        "undone": done.undone,
        "replaced": str(done.replaced) if done.replaced else None,
    }


def _verify(call: Call) -> Result:
    store = _store(call)
    found = verify(store.path)
    if found.problems:
        raise Unsound("; ".join(found.problems), "; ".join(found.notes) or "docs/state.md says what to do")
    counts = {"snapshots": found.snapshots, "segments": found.segments, "transactions": found.transactions}
    return {"serial": found.serial, "checked": {**counts, "backups": found.backups}}


def _check(call: Call) -> Result:
    view = call.cluster().view()
    if view.violations:
        raise Inconsistent("; ".join(map(str, view.violations)), "muster verify looks again")
    return {"serial": view.serial}


def _compact(call: Call) -> Result:
    store, cluster = _store(call), call.cluster()
    older_than = call.params["jobs_older_than"]
    archived = cluster.archive(duration(older_than)) if older_than and store.read().serial else []
    folded = store.pending() if call.check_mode else store.compact(who=call.actor)
    return {"changed": bool(archived or folded), "archived": archived, "serial": store.read().serial}


def _store(call: Call) -> DirectoryStore:
    return open_store(call.params["store"], tell=call.warn)


def _states_that_take(name: str) -> str:
    return " and ".join(state for state, names in _TAKEN.items() if name in names)


_DEFAULTS = {"path": None, "keep": KEEP, "gzip": False, "force": False, "jobs_older_than": None}
_TAKEN = {
    "backed_up": {"path", "keep", "gzip"},
    "restored": {"path", "force"},
    "verified": set[str](),
    "consistent": set[str](),
    "compacted": {"jobs_older_than"},
}
_VERBS = {"backed_up": _back_up, "restored": _restore, "verified": _verify, "consistent": _check, "compacted": _compact}
