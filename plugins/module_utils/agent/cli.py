# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verbs: words in, one JSON object out, and an exit code of sysexits.h."""

from __future__ import annotations

import json
import os
import sys

from .clock import now
from .errors import INTERNAL, NO_SUCH_JOB, OTHER_VERSION, USAGE, AgentError
from .layout import Layout, default_state_dir
from .version import PROTOCOL, version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # pylint: disable=unsupported-binary-operation  # no Python of a node ever reads the next lines
    Document = dict[str, Any]
    Outcome = tuple[Document | None, int]  # None: the answer has been written already, as plain text
    Options = dict[str, Callable[[str], Any] | None]  # name -> what makes a value of its word; None: it has no value

HELP = """\
usage: muster-agent.pyz [--expect VERSION] [--state-dir DIR] VERB [options]

  version      which agent this is
  inventory    what this node is: processors, memory, GPUs, addresses
  health       [--source auto|daemon|live]: is this node fit to run a job
               --clear CHECK|all: its faults are mended
  monitor      --action start|stop|restart|status|apply|remove; settings for apply come on stdin
  daemon       look at this node again and again, until SIGTERM
  start        start an attempt; its spec comes on stdin
  status       [--job J [--attempt A]] [--wait-end S]
  survey       [--also J.A,J.A]
  stop         --job J [--attempt A] [--epoch E] [--grace S] [--reason TEXT]
  logs         --job J [--attempt A] [--rank N] [--lines N|all] [--follow] [--raw]

One JSON object is written to stdout. Exit codes: 0 done; 64 usage; 65 bad spec; 66 no such job; 69 refused;
70 internal error; 75 timed out; 76 another version than --expect.
"""


def main(argv: list[str]) -> int:
    """Answer one call; the exit code says how it went."""
    verb = None
    began = now()
    try:
        if len(argv) > 1 and argv[1] in ("-h", "--help", "help"):
            _write(HELP.encode())
            return 0
        everywhere, rest = _options(argv[1:], {"expect": str, "state-dir": str})
        verb = rest[0] if rest else None
        if everywhere.get("expect", version()) != version():
            message = f"this is agent {version()}, not {everywhere['expect']}"
            raise AgentError("other_version", message, "install the expected one", OTHER_VERSION)
        if verb not in VERBS:
            raise _usage(f"unknown verb {verb!r}" if verb else "no verb is given", f"verbs: {', '.join(VERBS)}")
        known, act = VERBS[verb]
        options, rest = _options(rest[1:], known)
        if rest:
            raise _usage(f"{verb} does not know {rest[0]!r}", f"options: {' '.join('--' + name for name in known)}")
        payload, code = act(Layout(everywhere.get("state-dir") or default_state_dir(argv[0])), options)
    except AgentError as error:
        payload = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        code = error.exit_code
    except Exception as error:  # the edge: whatever went wrong is an answer too
        import traceback

        sys.stderr.write(traceback.format_exc())
        message = f"the agent failed: {type(error).__name__}: {error}"
        payload = {
            "error": {"code": "internal", "message": message, "hint": "please report this; stderr has the details"}
        }
        code = INTERNAL
    if payload is not None:
        # The node's clock, so that whoever compares times of several nodes can tell how far apart they are.
        head = {
            "protocol": PROTOCOL,
            "agent": version(),
            "began": began,
            "now": now(),
            "verb": verb,
            "ok": code == 0,
        }
        _write(json.dumps({**head, **payload}).encode() + b"\n")
    return int(code)


def _version(_layout: Layout, _options: Document) -> Outcome:
    return {}, 0


def _inventory(_layout: Layout, _options: Document) -> Outcome:
    from . import inventory

    return {"node": inventory.read()}, 0


def _health(layout: Layout, options: Document) -> Outcome:
    from .health import door

    if "clear" in options:
        return {"health": door.clear(layout, options["clear"])}, 0
    return {"health": door.read(layout, options.get("source", "auto"))}, 0


def _monitor(layout: Layout, options: Document) -> Outcome:
    from .health import service, setup

    action = _required(options, "action")
    if action == "apply":
        return {"monitor": setup.apply(layout, sys.stdin.buffer.read())}, 0
    if action == "remove":
        return {"monitor": setup.remove(layout, "dry-run" in options)}, 0
    return {"monitor": service.act(layout, action, "dry-run" in options)}, 0


def _daemon(layout: Layout, _options: Document) -> Outcome:
    from .health import daemon

    return None, daemon.run(layout)


def _start(layout: Layout, _options: Document) -> Outcome:
    from . import start

    return start.start(layout, sys.stdin.buffer.read())


def _supervise(layout: Layout, options: Document) -> Outcome:
    from . import start

    start.supervise_from_unit(layout, _required(options, "spec"), _required(options, "notify"))


def _status(layout: Layout, options: Document) -> Outcome:
    from . import status

    return {"attempts": status.read(layout, options.get("job"), options.get("attempt"), options.get("wait-end"))}, 0


def _survey(layout: Layout, options: Document) -> Outcome:
    from . import status

    return {"attempts": status.survey(layout, options.get("also", []))}, 0


def _stop(layout: Layout, options: Document) -> Outcome:
    from . import stop

    return stop.stop(
        layout,
        _required(options, "job"),
        options.get("attempt"),
        options.get("epoch"),
        options.get("grace"),
        options.get("reason", "stopped on request"),
    )


def _logs(layout: Layout, options: Document) -> Outcome:
    from . import logs, record

    job = _required(options, "job")
    known = [number for _job, number in layout.attempts(job)]
    attempt = options.get("attempt", known[-1] if known else None)
    status = record.look(layout, job, attempt) if attempt in known else None
    if status is None or attempt is None:
        raise AgentError("no_such_job", f"this node has no job {job}", "see `status` for those it has", NO_SUCH_JOB)
    files = {rank["rank"]: rank["log"] for rank in status["ranks"] if options.get("rank") in (None, rank["rank"])}
    if not files:
        message = (
            f"job {job} has no rank {options['rank']} on this node" if "rank" in options else "nothing has started"
        )
        raise AgentError("no_such_rank", message, "see `status` for the ranks it has", NO_SUCH_JOB)
    lines = options.get("lines", logs.TAIL_LINES)
    lines = None if lines == "all" else lines
    if not options.get("follow") and not options.get("raw"):
        return {
            "logs": [{"rank": rank, "log": path, "lines": logs.read(path, lines)} for rank, path in files.items()]
        }, 0

    def over() -> bool:
        now = record.look(layout, job, attempt)
        return not options.get("follow") or now is None or record.ended(now)

    prefixed = {f"[rank {rank}] " if len(files) > 1 else "": path for rank, path in files.items()}
    logs.follow(prefixed, lines, over, _write, sys.stdout.fileno())
    return None, 0


def _attempts(text: str) -> list[tuple[str, int]]:
    pairs = [word.rpartition(".") for word in text.split(",") if word]
    return [(job, int(number)) for job, _dot, number in pairs]


def _source(text: str) -> str:
    if text not in ("auto", "daemon", "live"):
        raise ValueError(text)
    return text


def _count(text: str) -> int | str:
    if text == "all":
        return text
    if not text.isdigit():
        raise ValueError(text)
    return int(text)


VERBS: dict[str, tuple[Options, Callable[[Layout, Document], Outcome]]] = {
    "version": ({}, _version),
    "inventory": ({}, _inventory),
    "health": ({"source": _source, "clear": str}, _health),
    "monitor": ({"action": str, "dry-run": None}, _monitor),
    "daemon": ({}, _daemon),
    "start": ({}, _start),
    "status": ({"job": str, "attempt": int, "wait-end": float}, _status),
    "survey": ({"also": _attempts}, _survey),
    "stop": ({"job": str, "attempt": int, "epoch": int, "grace": float, "reason": str}, _stop),
    "logs": (
        {"job": str, "attempt": int, "rank": int, "lines": _count, "follow": None, "raw": None},
        _logs,
    ),
    "supervise": ({"job": str, "attempt": int, "spec": str, "notify": str}, _supervise),
}


def _options(words: list[str], known: Options) -> tuple[Document, list[str]]:
    """Return the options (name -> value) at the head of `words`, and the words after them.

    By hand, because loading argparse takes longer than most verbs do.
    """
    found: Document = {}
    rest = list(words)
    while rest and rest[0].startswith("--"):
        name, equals, value = rest[0][2:].partition("=")
        if name not in known:
            break
        rest.pop(0)
        convert = known[name]
        if convert is None:
            found[name] = True
            continue
        if not equals:
            if not rest:
                raise _usage(f"--{name} needs a value")
            value = rest.pop(0)
        try:
            found[name] = convert(value)
        except ValueError:
            raise _usage(f"--{name} cannot be {value!r}") from None
    return found, rest


def _required(options: Document, name: str) -> Any:
    if name not in options:
        raise _usage(f"--{name} is missing")
    return options[name]


def _usage(message: str, hint: str = "--help shows all") -> AgentError:
    return AgentError("usage", message, hint, USAGE)


def _write(data: bytes) -> None:
    """Write to stdout, at once and wholly. A reader who has left ends this quietly."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
