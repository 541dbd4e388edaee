# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting an attempt: a supervisor that does not depend on this process, and its first answer."""

from __future__ import annotations

import json
import os
import select
import time

from . import processes, record, spec, units
from .errors import HINTS, INTERNAL, REFUSED, AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .layout import Layout

    Document = dict[str, Any]

LOOK_AGAIN_S = 0.02
UNIT_CHECK_S = 5.0
FORGOTTEN_S = 3600.0  # what a killed start has left in the run directory
REACHED = ("running", "succeeded", "failed")


def start(layout: Layout, text: bytes) -> tuple[Document, int]:
    """Start the attempt in the spec, or find it started already; return its status and the exit code. Raises
    AgentError."""
    part = spec.parse(text)
    try:
        layout.create()
    except OSError as error:
        raise AgentError(
            "state_dir_unwritable",
            f"the state directory {layout.state_dir} cannot be used: {error.strerror}",
            "run provision.yml, or set muster_state_dir to a directory that this user may write to",
        ) from None
    if not os.path.isdir(layout.attempt(part["job"], part["attempt"])):
        answer = _from_unit(layout, part) if units.wanted() else _from_fork(layout, part)
        if "crash" in answer:
            raise AgentError("supervisor_crashed", answer["crash"], "please report this", INTERNAL)
        if "attempt" in answer:
            return _reply(answer["attempt"])
    return _reply(_already_there(layout, part))


def supervise(layout: Layout, part: Document, notify: int, unit: str | None) -> NoReturn:
    """Be the supervisor. `notify`: a descriptor for the first answer, as one JSON object; it is closed then."""
    from .supervisor import AlreadyThere, Supervisor

    try:
        supervisor = Supervisor(layout, part, unit)
        try:
            supervisor.begin()
            _tell(notify, {"attempt": supervisor.status})
        except AlreadyThere:
            _tell(notify, {"already_there": True})
        if supervisor.status["state"] == "running":
            supervisor.watch()
    except Exception as error:  # nobody is left to catch it; the record, which stays open, makes the attempt `lost`
        import traceback

        os.write(2, traceback.format_exc().encode())
        _tell(notify, {"crash": f"the supervisor failed: {type(error).__name__}: {error}"})
        os._exit(INTERNAL)
    os._exit(0)


def supervise_from_unit(layout: Layout, spec_file: str, fifo: str) -> NoReturn:
    """Be the supervisor that `start` asked systemd for; what it left for us in the run directory is taken away."""
    part = record.read_json(spec_file)
    if part is None:
        raise AgentError("internal", f"no start spec in {spec_file}", "please report this", INTERNAL)
    try:
        notify = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(notify, True)
    except OSError:  # whoever asked has gone; the other nodes of the job still count on this one
        notify = os.open(os.devnull, os.O_WRONLY)
    _take_away(spec_file, fifo)
    supervise(layout, part, notify, units.name(layout, part["job"], part["attempt"]))


def _from_fork(layout: Layout, part: Document) -> Document:
    reader, writer = os.pipe()
    if os.fork() == 0:
        # Nothing of the connection that ran us may stay open, or it would hang until the job ends.
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        processes.close_all_but(writer)
        os.chdir("/")
        supervise(layout, part, writer, None)
    os.close(writer)
    return _first_answer(reader, None)


def _from_unit(layout: Layout, part: Document) -> Document:
    unit = units.name(layout, part["job"], part["attempt"])
    base = os.path.join(layout.run, f"{part['job']}.{part['attempt']}.{os.urandom(4).hex()}")
    spec_file, fifo = base + ".json", base + ".fifo"
    _take_away(*(entry.path for entry in os.scandir(layout.run) if entry.stat().st_mtime < time.time() - FORGOTTEN_S))
    try:
        os.mkfifo(fifo, 0o600)
        record.write_json(spec_file, part, mode=0o600)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        words = ["--state-dir", layout.state_dir, "supervise", "--job", part["job"], "--attempt", str(part["attempt"])]
        command = units.agent_command([*words, "--spec", spec_file, "--notify", fifo])
        try:
            units.start(unit, f"Muster job {part['job']}", part["grace_s"], command)
        except AgentError:
            if units.active(unit):  # another call for the same attempt came first
                return {"already_there": True}
            raise
        return _first_answer(reader, unit)
    finally:
        _take_away(spec_file, fifo)


def _take_away(*paths: str) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue


def _first_answer(reader: int, unit: str | None) -> Document:
    """Wait for what the supervisor says first; it decides how long that takes (the gate's timeout)."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    text = b""
    with os.fdopen(reader, "rb", buffering=0) as file:
        while True:
            if poll.poll(UNIT_CHECK_S * 1000):
                part = file.read(65536)
                if not part:
                    break
                text += part
            elif unit and not text and not units.active(unit):
                break
    if not text:
        return {"crash": "the supervisor ended before it had said anything"}
    answer: Document = json.loads(text)
    return answer


def _already_there(layout: Layout, part: Document) -> Document:
    """Return the status of the attempt that someone else has started, once its start is over."""
    label = f"attempt {part['attempt']} of job {part['job']}"
    unit = units.name(layout, part["job"], part["attempt"]) if units.wanted() else None
    while True:
        status = record.look(layout, part["job"], part["attempt"])
        if status is None and unit and units.active(unit):
            time.sleep(LOOK_AGAIN_S)
            continue
        if status is None:
            raise AgentError("refused", f"{label} was refused to another caller just now", "start it again")
        if status["epoch"] > part["epoch"]:
            message = f"{label} runs here with epoch {status['epoch']}; this start is of epoch {part['epoch']}"
            raise AgentError("stale_epoch", message)
        if status["epoch"] < part["epoch"]:
            message = f"{label} is already known here, with epoch {status['epoch']}"
            raise AgentError("attempt_exists", message)
        if status["state"] != "starting":
            return status
        time.sleep(LOOK_AGAIN_S)


def _reply(status: Document) -> tuple[Document, int]:
    if status["state"] in REACHED:
        return {"attempt": status}, 0
    first = status["problems"][0] if status["problems"] else {"code": status["state"], "message": status["reason"]}
    more = f" (and {len(status['problems']) - 1} more problems)" if len(status["problems"]) > 1 else ""
    error = {"code": first["code"], "message": f"{first['message']}{more}", "hint": HINTS.get(first["code"], "")}
    return {"attempt": status, "error": error}, REFUSED


def _tell(notify: int, answer: Document) -> None:
    """Say it to whoever still listens: the connection that asked may be gone."""
    data = json.dumps(answer).encode()
    try:
        while data:
            data = data[os.write(notify, data) :]
        os.close(notify)
    except OSError:
        return
