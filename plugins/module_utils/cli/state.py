# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands ``muster state ...``: looking after the state as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..cluster import Cluster, forgotten, imports, open_cluster
from ..model import InvalidInput, NotFound, counted, duration, utc_now
from ..store import KEEP, DirectoryStore, actor, back_up, describe, newest_backup, open_store, restore, verify
from .history import history_lines
from .options import AsJson, Store
from .output import say, show, show_json, write_json
from .words import age, size

app = typer.Typer(no_args_is_help=True, help="Look after the state: back it up, check it, see what changed.")

DryRun = Annotated[bool, typer.Option("--check", help="Only say what would be done.")]


@app.command("show")
def show_state(store: Store = None, as_json: AsJson = False) -> None:
    """What the state holds, how large it is, and who changed it last."""
    found = describe(_store(store))
    if as_json:
        show_json(found)
        return
    if not found["serial"]:
        typer.echo(f"{found['path']} holds no state yet: run sync.yml")
        return
    changed = found["changed"]
    rows = {
        "where": found["path"],
        "lineage": found["lineage"],
        "serial": f"{found['serial']} (epoch {found['epoch']}, schema {found['schema']})",
        "changed": f"{age(changed['at'], utc_now())} by {changed['who']}: {changed['why']}",
        "holds": ", ".join(f"{name} {number}" for name, number in found["tables"].items() if name != "meta"),
        "snapshot": size(found["snapshot_bytes"]),
        "journal": f"{size(found['journal_bytes'])} in {counted(found['journal_segments'], 'file')}",
        "backups": f"{len(found['backups'])}, the newest {found['backups'][-1]}" if found["backups"] else "none",
        "damaged": ", ".join(found["damaged"]) or "nothing",
    }
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name, "dim"), Text(value))
    show(table)


@app.command()
def history(
    node: Annotated[str | None, typer.Option(metavar="NAME", help="Only what changed this node.")] = None,
    job: Annotated[str | None, typer.Option(metavar="ID", help="Only what changed this job: its id, or name.")] = None,
    last: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="1h, 2d, or a date in ISO 8601.")] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Who changed what, when and why."""
    found = list(_cluster(store).history(node=node, job=job, since=since))[-(last or 0) :]
    if as_json:
        show_json(found)
    elif found:
        show(*history_lines(found))
    else:
        typer.echo("no transaction on record" + (" matches" if node or job or since else ""))


@app.command("verify")
def verify_state(store: Store = None, as_json: AsJson = False) -> None:
    """Read everything that is on disk, and say what is not as it was written. Exit code 1 if anything is."""
    found = verify(_store(store).path)
    if as_json:
        show_json(vars(found))
    else:
        read = (
            f"{counted(found.snapshots, 'snapshot')}, {counted(found.transactions, 'transaction')} in "
            f"{counted(found.segments, 'file')}, {counted(found.backups, 'backup')}"
        )
        typer.echo(f"{'sound' if not found.problems else 'NOT SOUND'} at serial {found.serial}: {read} read")
        for note in found.notes:
            typer.echo(f"note: {note}")
    for problem in found.problems:
        say(problem)
    if found.problems:
        raise typer.Exit(1)


@app.command()
def backup(
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to (default: in the store).")] = None,
    keep: Annotated[int, typer.Option(metavar="N", help="How many backups stay.")] = KEEP,
    gzip: Annotated[bool, typer.Option("--gzip", help="Pack it.")] = False,
    check: DryRun = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Write the state as it is now into a file of its own, and check that file."""
    made = back_up(_store(store), to=to, keep=keep, packed=gzip, dry_run=check)
    if as_json:
        removed = [str(path) for path in made.removed]
        show_json({"path": str(made.path), "serial": made.serial, "written": made.written, "removed": removed})
    elif made.written:
        typer.echo(f"{'would write' if check else 'wrote'} {made.path} (serial {made.serial})")
        for path in made.removed:
            typer.echo(f"{'would remove' if check else 'removed'} {path}")
    else:
        typer.echo(f"{made.path} is of serial {made.serial}, and nothing has changed since")


@app.command("restore")
def restore_state(
    path: Annotated[Path | None, typer.Argument(metavar="FILE", help="The backup; the newest if not given.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also an older state, or that of another cluster.")] = False,
    check: DryRun = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Make the state what it was when a backup was taken. What is replaced is backed up first."""
    target = _store(store)
    source = path or newest_backup(target)
    done = restore(target, source, who=actor("muster"), force=force, dry_run=check)
    for sentence in forgotten(done, dry_run=check):
        say(sentence)
    if as_json:
        replaced = str(done.replaced) if done.replaced else None
        show_json(
            {
                "path": str(source),
                "serial": done.serial,
                "changed": done.changed,
                "undone": done.undone,
                "replaced": replaced,
            }
        )
    elif not done.changed:
        typer.echo(f"the state is as in {source} (serial {done.serial}): nothing was changed")
    else:
        undone = f"; {counted(done.undone, 'transaction')} undone" if done.undone else ""
        typer.echo(f"{'would restore' if check else 'restored'} {source} (serial {done.serial}){undone}")
        if done.replaced:
            typer.echo(f"what it replaced is in {done.replaced}")
        typer.echo("next: sync.yml reads the nodes anew, and recover.yml asks them what runs")


@app.command()
def compact(
    jobs_older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Archive jobs that ended longer ago (30d).")
    ] = None,
    check: DryRun = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Fold the journal into a new snapshot, which stock TinyDB can open."""
    target = _store(store)
    reached = target.read().serial
    archived = []
    if jobs_older_than and reached:
        archived = _cluster(store, dry_run=check).archive(duration(jobs_older_than))
    folded = bool(archived) or target.pending() if check else target.compact(who=actor("muster"))
    serial = reached + bool(archived) if check else target.read().serial
    path = target.path / "state.json"
    if as_json:
        show_json({"path": str(path), "serial": serial, "folded": folded, "archived": archived})
        return
    if not serial:
        typer.echo(f"{target} holds no state yet: run sync.yml")
        return
    if archived:
        done = "would archive" if check else "archived"
        typer.echo(f"{done} {counted(len(archived), 'job')}: `muster state history --job ID` still has them")
    now = ("would be" if check else "is now") if folded else "is already"
    typer.echo(f"{path} {now} at serial {serial}")


@app.command("import")
def import_state(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The other tool's file.")],
    kind: Annotated[str, typer.Option("--from", metavar="KIND", help=f"Whose it is: {', '.join(imports.KINDS)}.")],
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Of times without one (Europe/Berlin); default: this machine's.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where the state says other things by that name.")
    ] = False,
    check: DryRun = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Take over the state of another tool, or an export, in one transaction."""
    report = _cluster(store, dry_run=check).import_state(kind, path, timezone=timezone, force=force)
    if as_json:
        show_json({"changed": report.changed, "counts": report.counts, "remarks": report.remarks})
        return
    for table, counts in report.counts.items():
        told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
        typer.echo(f"{table.replace('_', ' ')}: {told}")
    for remark in report.remarks:
        typer.echo(f"note: {remark}")
    if not report.changed:
        typer.echo("nothing was changed: the state has all of it")
    elif check:
        typer.echo("nothing was written")


@app.command()
def export(
    path: Annotated[Path | None, typer.Argument(metavar="FILE", help="Where to (default: the terminal).")] = None,
    store: Store = None,
) -> None:
    """Write all tables as plain JSON. For keeping, `backup` is better: it checks itself."""
    target = _store(store)
    tables = target.read()
    if not tables.serial:
        raise NotFound(f"there is no state in {target} to export", "run sync.yml first, or name the store")
    document = imports.exported(tables)
    if path is None or str(path) == "-":
        show_json(document)
        return
    if path.resolve().is_relative_to(target.path.resolve()):
        raise InvalidInput(f"{path} lies in the store itself", "name a file somewhere else")
    write_json(path, document)
    typer.echo(f"wrote {path} (serial {document['serial']})")


def _store(location: str | None) -> DirectoryStore:
    return open_store(location, tell=say)


def _cluster(location: str | None, *, dry_run: bool = False) -> Cluster:
    return open_cluster(location, actor=actor("muster"), dry_run=dry_run, tell=say)
