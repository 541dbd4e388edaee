# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands: each reads the state once and shows it."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any

import typer

from ..agent.version import COLLECTION_VERSION
from ..cluster import Cluster, View, open_cluster, unknown_node
from ..health import Source, Steering, look_at, remarks, steer
from ..health import clear as clear_faults
from ..model import ENDED, MusterError, counted, utc_now
from ..store import actor, default_location
from . import logs as job_logs
from .cancel import cancel as cancel_jobs
from .cancel import sentence
from .health import health_page, health_table, monitors_table
from .options import AsJson, Store
from .output import clear_screen, never_fail_to_encode, say, show, show_json
from .page import job_page
from .reach import reaching
from .state import app as state_app
from .summary import summary, summary_document
from .tables import jobs_table, nodes_table

NO_NODES = "no nodes yet: run sync.yml"
WATCH_S = 5.0
NO_JOBS = "no jobs yet: run launch.yml -e @job.yml"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(state_app, name="state")

Reference = Annotated[str, typer.Argument(metavar="ID", help="A job's id, or its name for the latest of that name.")]


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 refused or failed (one sentence on stderr), 2 wrong usage."""
    never_fail_to_encode()
    try:
        app()
    except MusterError as error:
        say(str(error))
        raise SystemExit(1) from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"muster {COLLECTION_VERSION}")
        raise typer.Exit


@app.callback()
def _muster(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """A training cluster of the GPU machines in an Ansible inventory."""


@app.command()
def status(store: Store = None, as_json: AsJson = False) -> None:
    """The cluster at one glance."""
    view = _view(store)
    if as_json:
        show_json(summary_document(view, store or default_location()))
    elif view.nodes:
        show(*summary(view, store or default_location(), utc_now()))
    else:
        typer.echo(NO_NODES)


@app.command()
def nodes(store: Store = None, as_json: AsJson = False) -> None:
    """All nodes: how they are, what is free, what runs there."""
    view = _view(store)
    if as_json:
        show_json(view.nodes)
    elif view.nodes:
        show(*nodes_table(view.nodes, view.jobs, utc_now()))
    else:
        typer.echo(NO_NODES)


@app.command()
def jobs(
    store: Store = None,
    as_json: AsJson = False,
    active: Annotated[bool, typer.Option("--active", help="Only those that have not ended.")] = False,
) -> None:
    """All jobs, the latest last."""
    found = _view(store).jobs
    wanted = [job for job in found if not active or job["state"] not in ENDED]
    if as_json:
        show_json(wanted)
    elif wanted:
        show(jobs_table(wanted, utc_now()))
    else:
        typer.echo("no job is active" if found else NO_JOBS)


@app.command()
def job(reference: Reference, store: Store = None, as_json: AsJson = False) -> None:
    """One job: what was asked for, its ranks, and if it failed, how."""
    view = _view(store)
    found = view.job(reference)
    if as_json:
        show_json(found)
    else:
        show(*job_page(found, view.nodes, utc_now()))


@app.command()
def verify(store: Store = None, as_json: AsJson = False) -> None:
    """Whether the state makes sense: nothing is leased twice, nor to a job that is over. Exit code 1 if it does not.

    `muster state verify` checks the files that it is kept in.
    """
    view = _view(store)
    found = view.violations
    if as_json:
        show_json({"serial": view.serial, "violations": [vars(one) for one in found]})
    elif not view.serial:
        typer.echo(NO_NODES)
    elif not found:
        held = {"node": view.nodes, "job": view.jobs, "lease": view.leases}
        counts = ", ".join(counted(len(rows), noun) for noun, rows in held.items())
        typer.echo(f"consistent at serial {view.serial}: {counts}")
    for one in found:
        say(str(one))
    if found:
        raise typer.Exit(1)


@app.command()
def cancel(
    references: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids or names of jobs, or: all")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "canceled with `muster cancel`",
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """End jobs wherever they run, and give their nodes back. Exit code 1 if a node cannot say that nothing is left."""
    cluster = _cluster(store)
    shown, clear = [], True
    for told, changed in cancel_jobs(cluster, references, reason, (lambda line: None) if as_json else typer.echo):
        shown.append(told | {"changed": changed})
        clear = clear and not told["doubtful"]
        if not as_json:
            (typer.echo if not told["doubtful"] else say)(sentence(told, changed))
    if as_json:
        show_json(shown)
    elif not shown:
        typer.echo("no job is active")
    if not clear:
        raise typer.Exit(1)


@app.command()
def health(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NODE]...", help="By default all nodes.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Look now, whatever the monitors have said.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Ask again every few seconds, until Ctrl-C.")] = False,
    clear: Annotated[
        str, typer.Option("--clear", metavar="CHECK", help="Faults of this check (or: all) are mended on NODE.")
    ] = "",
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """How the nodes are, as their monitors say; with one NODE, everything about it. Exit code 1 if one is unhealthy, or
    nothing can be told of it.
    """
    known = _view(store).nodes
    wanted = _wanted(known, names)
    if clear and len(wanted) != 1:
        raise typer.BadParameter("--clear wants exactly one NODE")
    with reaching(known) as dial:
        found = {wanted[0]: clear_faults(dial, wanted[0], clear)} if clear else {}
        if clear and found[wanted[0]].report is None:
            say(found[wanted[0]].error)
            raise typer.Exit(1)
        if clear:
            say(f"{clear} is cleared on {wanted[0]}; the next look tells whether it is mended. Until then:")
        while True:
            source: Source = "live" if live else "auto"
            found = found or look_at(dial, wanted, source)
            if as_json:
                show_json([{"node": name, "error": one.error, "report": one.report} for name, one in found.items()])
            elif found:
                if watch:
                    clear_screen()
                show(*(health_page(found[wanted[0]]) if names and len(wanted) == 1 else [health_table(found)]))
                for line in remarks(found, source):
                    say(line)
            else:
                typer.echo(NO_NODES)
            if not watch:
                break
            try:
                time.sleep(WATCH_S)
            except KeyboardInterrupt:
                raise typer.Exit(130) from None
            found = {}
    if any(one.health.state in ("unhealthy", "unknown") for one in found.values()):
        raise typer.Exit(1)


@app.command()
def daemon(
    action: Annotated[Steering, typer.Argument(help="What to do.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NODE]...", help="By default all nodes.")] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Start, stop or restart the monitors of nodes, or see whether they run.

    Exit code 1 if one cannot be asked, or does not do as it is told; status is content with either.
    """
    known = _view(store).nodes
    with reaching(known) as dial:
        monitors, troubles = steer(dial, _wanted(known, names), action)
    if as_json:
        show_json([{"node": name, **one} for name, one in monitors.items()])
    elif monitors:
        show(monitors_table(monitors))
    elif not troubles:
        typer.echo(NO_NODES)
    for why in troubles.values():
        say(why)
    if troubles:
        raise typer.Exit(1)


def _wanted(known: list[dict[str, Any]], names: list[str] | None) -> list[str]:
    """The nodes that were named, or all; :class:`NotFound` for one that the state does not have."""
    there = [node["name"] for node in known]
    for name in names or []:
        if name not in there:
            raise unknown_node(name, there)
    return list(dict.fromkeys(names or there))


def _lines(text: str) -> str:
    if text != "all" and not text.isdecimal():
        raise typer.BadParameter(f"{text!r} is neither a number of lines nor 'all'")
    return text


@app.command()
def logs(
    reference: Reference,
    rank: Annotated[int | None, typer.Option(metavar="N", help="Only this global rank, without prefixes.")] = None,
    attempt: Annotated[int | None, typer.Option(metavar="N", help="Of this attempt; by default the last.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    lines: Annotated[str, typer.Option("--lines", "-n", callback=_lines, help="How many lines, or all.")] = "20",
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """What the ranks of a job wrote, from their nodes."""
    if follow and as_json:
        raise typer.BadParameter("--json gives what there is now, and cannot be used with --follow")
    view = _view(store)
    found = view.job(reference)
    wanted = job_logs.sources(found, rank, attempt)
    with reaching(view.nodes) as dial:
        if follow:
            write = partial(typer.echo, nl=False)
            try:
                troubles = job_logs.follow(dial, wanted, lines, rank is None, write)
            except KeyboardInterrupt:
                raise typer.Exit(130) from None
        else:
            documents, troubles = job_logs.fetch(dial, wanted, lines)
            _show_logs(documents, rank is None, as_json)
    for trouble in troubles.values():
        say(trouble)
    if troubles:
        raise typer.Exit(1)


def _show_logs(documents: list[dict[str, Any]], prefixed: bool, as_json: bool) -> None:
    if as_json:
        show_json(documents)
        return
    for document in documents:
        prefix = f"[rank {document['rank']}] " if prefixed else ""
        for line in document["lines"]:
            typer.echo(f"{prefix}{line}\n".encode(errors="replace"), nl=False)


def _view(store: str | None) -> View:
    return _cluster(store).view()


def _cluster(store: str | None) -> Cluster:
    return open_cluster(store, actor=actor("muster"), tell=say)
