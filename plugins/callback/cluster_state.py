# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback: contacts become known to the state, and a play that dies leaves no allocation behind."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_state
type: aggregate
short_description: Keep the state of a Muster cluster in step with what plays see
description:
  - Each contact with a node of the state refreshes its C(last_seen), and a node that cannot be reached is marked so,
    whatever the play was for. Both are written once, at the end of each play.
  - A run that fails or is interrupted releases what it allocated and had not started, and says what it leaves running
    and how to end that.
  - At the end a short summary shows the nodes and the jobs of the run.
  - It only adds to the record. When it fails, that is a warning, and the play goes on.
  - In check mode nothing is written. A store that does not exist is not created.
version_added: 0.1.0
author:
  - The Muster authors (@muster-training)
requirements:
  - enable it with C(callbacks_enabled = muster.training.cluster_state) in C(ansible.cfg)
  - pydantic >= 2.7 and tinydb >= 4.8 on the control node
extends_documentation_fragment:
  - muster.training.store.plugin
options:
  enabled:
    description: Whether the callback does anything. It lets a job turn off what C(ansible.cfg) turns on.
    type: bool
    default: true
    env:
      - name: MUSTER_CALLBACK
    ini:
      - section: muster
        key: callback
  summary:
    description: Whether the summary is shown at the end.
    type: bool
    default: true
    env:
      - name: MUSTER_SUMMARY
    ini:
      - section: muster
        key: summary
"""

import atexit
import gc
import os
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook import Playbook
from ansible.playbook.play import Play
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

from ..plugin_utils.contact import OURS, proves_contact

# What is imported is no garbage: looking for some in between takes as long as the imports themselves.
gc.disable()
try:
    from ..module_utils import gang
    from ..module_utils.agent import package
    from ..module_utils.cluster import open_cluster
    from ..module_utils.model import MusterError
    from ..module_utils.remote import preload
    from ..plugin_utils import documents, fleet_action, state_action, state_reader
    from ..plugin_utils.origin import origin_of, user_of
    from ..plugin_utils.run_record import RunRecord
    from ..plugin_utils.run_summary import summary

    # Each task runs in a process forked from this one, and need not import again what is imported here (0.4 s).
    PRELOADED = (documents, fleet_action, gang, state_action, state_reader)
    MISSING: ImportError | None = None
except ImportError as error:
    MISSING = error
finally:
    gc.enable()

PLAYBOOK = Path(__file__).resolve().parents[2] / "playbooks" / "release.yml"
COLORS = {"good": C.COLOR_OK, "busy": C.COLOR_CHANGED, "bad": C.COLOR_ERROR}


class CallbackModule(CallbackBase):
    """One record of the run for each store that its plays name; usually that is one."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "muster.training.cluster_state"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()
        self._records: dict[str | None, RunRecord] = {}
        self._record: RunRecord | None = None
        self._watching = False
        self._ended = True
        self._at_work = False
        self._told_to_end = False

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        self.disabled = not self.get_option("enabled")
        if MISSING is not None and not self.disabled:
            self.disabled = True
            self._display.warning(f"the callback cluster_state does nothing: {MISSING.name} is missing on this machine")

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        self._ended = False
        if self._watching:
            return
        self._watching = True
        with suppress(ImportError, package.AgentBuildError):  # a task that needs what is missing says so
            preload()
            package.version()
        # From here on the collector leaves alone what is loaded by now, in this process and in those forked from it,
        # where each look at it would copy that memory: a sixth of the CPU time of a launch.
        gc.freeze()
        atexit.register(self._at_exit)
        if threading.current_thread() is threading.main_thread():
            self._ansible_handler = signal.signal(signal.SIGTERM, self._on_sigterm)

    def v2_playbook_on_play_start(self, play: Play) -> None:
        with self._warning():
            if self._record is not None:
                self._record.write_contacts()
            self._record = None
            variables = _variables(play)
            self.set_options(var_options=_store_variable(play, variables))
            location = self.get_option("store")
            location = None if location is None else str(location)
            if location not in self._records:
                dry_run = bool(context.CLIARGS.get("check"))
                self._records[location] = RunRecord(
                    open_cluster(location, actor=user_of(variables), dry_run=dry_run, tell=self._display.warning)
                )
            self._record = self._records[location]
            self._record.cluster.origin = origin_of(play.get_name(), variables)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._saw(result, failed=False)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._saw(result, failed=True)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        # A host that a task is delegated to is not the result's host.
        if self._record is not None and not result.task.delegate_to:
            self._record.missed(str(result.host.name), str(result.result.get("msg", "")))

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        self._end(orderly=not stats.failures and not stats.dark, show=self.get_option("summary"))

    def _saw(self, result: CallbackTaskResult, *, failed: bool) -> None:
        task, record = result.task, self._record
        if record is None or task.check_mode:
            return
        action = str(task.resolved_action or task.action)
        if action.startswith(OURS):
            with self._warning():
                for answer in result.result.get("results", [result.result]):  # of a loop, or of the task itself
                    record.saw(action.removeprefix(OURS), str(task.args.get("state", "present")), answer)
        if proves_contact(action, task.args, task.delegate_to, failed=failed):
            record.reached(str(result.host.name))

    def _end(self, *, orderly: bool, show: bool) -> None:
        """Write down what the run saw, put right what it leaves, and show the summary."""
        self._ended = True
        for location, record in self._records.items():
            with self._warning():
                record.write_contacts()
                for sentence in record.settle(orderly=orderly, release_command=partial(_release_command, location)):
                    self._display.warning(sentence)
                if show and record.touched:
                    self._show(record)

    def _show(self, record: RunRecord) -> None:
        lines = summary(record.cluster.view(), record.jobs, record.unreachable)
        if lines:
            self._display.banner("MUSTER")
            for text, mood in lines:
                self._display.display(text, color=COLORS[mood])

    @contextmanager
    def _warning(self) -> Iterator[None]:
        """A failure in here is a warning of one sentence."""
        self._at_work = True
        try:
            yield
        except (MusterError, AnsibleError) as error:
            self._display.warning(f"the callback cluster_state could not do its part: {error}")
        finally:
            self._at_work = False
            if self._told_to_end:
                self._on_sigterm(signal.SIGTERM, None)

    def _at_exit(self) -> None:
        """The run ended without a recap: Ctrl-C, or an error of Ansible's own."""
        if not self._ended and os.getpid() == self._process:
            self._end(orderly=False, show=False)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        """Comes before Ansible's own handler, which ends the process without what was registered for its exit. What is
        being written down at this moment is finished first."""
        if self._at_work:
            self._told_to_end = True
            return
        try:
            self._told_to_end = False
            self._at_exit()
        finally:
            if callable(self._ansible_handler):
                self._ansible_handler(number, frame)
            else:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)


def _variables(play: Play) -> dict[str, Any]:
    """The variables of the play's first host. Ansible gives callbacks none (2.19), or extra variables only (2.21)."""
    manager = play.get_variable_manager()
    hosts = manager._inventory.get_hosts(play.hosts)
    variables: dict[str, Any] = manager.get_vars(play=play, host=hosts[0] if hosts else None)
    return variables


def _store_variable(play: Play, variables: dict[str, Any]) -> dict[str, str]:
    """The variable that may name the store, templated."""
    if "muster_store" not in variables:
        return {}
    templar = Templar(loader=play.get_loader(), variables=variables)
    return {"muster_store": str(templar.template(variables["muster_store"]))}


def _release_command(store: str | None, job: str) -> str:
    """What ends the job, as it would be typed now: with the inventory that this run was given, and its store."""
    words = ["ansible-playbook", _typed(PLAYBOOK, "muster.training.release")]
    given = context.CLIARGS.get("inventory") or ()
    if list(given) != list(C.DEFAULT_HOST_LIST):
        words += [word for source in given for word in ("-i", _typed(Path(source), source))]
    words += ["-e", f"muster_release={job}"]
    if store not in (None, os.environ.get("MUSTER_STORE")):
        words += ["-e", f"muster_store={store}"]
    return shlex.join(words)


def _typed(path: Path, otherwise: str) -> str:
    """A file below the current directory by its relative path."""
    path, here = path.resolve(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else otherwise
